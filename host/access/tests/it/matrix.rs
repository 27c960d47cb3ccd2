//! What each role may do in its own tenant, spelled out, and that nobody may in another's.

use caisson_access::{Action, Role};

use super::{fixture, id};

/// Who may, in the order viewer, predictor, developer, approver, admin; then the operators' viewer
/// and admin on a tenant of someone else's.
const MATRIX: &[(&str, [bool; 5], [bool; 2])] = {
    const N: bool = false;
    const Y: bool = true;
    &[
        ("plugin:list", [Y, N, Y, Y, Y], [N, N]),
        ("plugin:read", [Y, N, Y, Y, Y], [N, N]),
        ("plugin:push", [N, N, Y, N, Y], [N, N]),
        ("plugin:yank", [N, N, Y, N, Y], [N, N]),
        ("plugin:delete", [N, N, Y, N, Y], [N, N]),
        ("model:list", [Y, N, Y, Y, Y], [N, N]),
        ("model:read", [Y, N, Y, Y, Y], [N, N]),
        ("model:register", [N, N, Y, N, Y], [N, N]),
        ("model:describe", [N, N, Y, N, Y], [N, N]),
        ("model:delete", [N, N, Y, N, Y], [N, N]),
        ("model:submit", [N, N, Y, N, Y], [N, N]),
        ("model:set-alias", [N, N, Y, N, Y], [N, N]),
        ("model:set-protected-alias", [N, N, N, Y, Y], [N, N]),
        ("model:approve", [N, N, N, Y, Y], [N, N]),
        ("model:reject", [N, N, N, Y, Y], [N, N]),
        ("model:archive", [N, N, N, Y, Y], [N, N]),
        ("deployment:list", [Y, Y, Y, Y, Y], [N, N]),
        ("deployment:read", [Y, Y, Y, Y, Y], [N, N]),
        ("deployment:predict", [N, Y, Y, N, Y], [N, N]),
        ("deployment:feedback", [N, Y, Y, N, Y], [N, N]),
        ("deployment:drift", [N, Y, Y, N, Y], [N, N]),
        ("deployment:read-predictions", [N, N, Y, N, Y], [N, N]),
        ("deployment:evaluate", [N, N, Y, N, Y], [N, N]),
        ("deployment:deploy", [N, N, Y, N, Y], [N, N]),
        ("deployment:rollback", [N, N, Y, N, Y], [N, N]),
        ("deployment:load", [N, N, Y, N, Y], [N, N]),
        ("deployment:unload", [N, N, Y, N, Y], [N, N]),
        ("deployment:delete", [N, N, Y, N, Y], [N, N]),
        ("alert:read", [Y, N, Y, Y, Y], [N, N]),
        ("alert:configure", [N, N, Y, N, Y], [N, N]),
        ("alert:silence", [N, N, Y, N, Y], [N, N]),
        ("receiver:read", [Y, N, Y, Y, Y], [N, N]),
        ("receiver:update", [N, N, N, N, Y], [N, N]),
        ("receiver:delete", [N, N, N, N, Y], [N, N]),
        ("receiver:test", [N, N, N, N, Y], [N, N]),
        ("tenant:create", [N, N, N, N, N], [N, Y]),
        ("tenant:list", [N, N, N, N, N], [Y, Y]),
        ("tenant:read", [Y, N, Y, Y, Y], [Y, Y]),
        ("tenant:configure", [N, N, N, N, Y], [N, Y]),
        ("tenant:suspend", [N, N, N, N, N], [N, Y]),
        ("tenant:resume", [N, N, N, N, N], [N, Y]),
        ("tenant:delete", [N, N, N, N, N], [N, Y]),
        ("quota:read", [Y, N, Y, Y, Y], [Y, Y]),
        ("quota:update", [N, N, N, N, N], [N, Y]),
        ("key:list", [N, N, N, N, Y], [N, Y]),
        ("key:create", [N, N, N, N, Y], [N, Y]),
        ("key:revoke", [N, N, N, N, Y], [N, Y]),
        ("policy:read", [N, N, N, N, Y], [N, N]),
        ("policy:update", [N, N, N, N, Y], [N, N]),
        ("policy:delete", [N, N, N, N, Y], [N, N]),
        ("audit:read", [N, N, N, N, Y], [N, Y]),
        ("backup:create", [N, N, N, N, N], [N, Y]),
        ("metrics:read", [N, N, N, N, N], [Y, Y]),
    ]
};

#[test]
fn each_role_may_what_the_table_says() {
    let f = fixture();
    let (acme, system) = (f.tenant("acme"), id("system"));
    let roles = Role::ALL.map(|role| f.role(&acme, role));
    let operators = [Role::Viewer, Role::Admin].map(|role| f.role(&system, role));
    let names: Vec<&str> = MATRIX.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        names,
        Action::ALL
            .iter()
            .map(|action| action.as_str())
            .collect::<Vec<_>>(),
        "the table has every action once"
    );
    for (&action, (name, own, operator)) in Action::ALL.iter().zip(MATRIX) {
        for (who, may) in roles.iter().zip(own) {
            assert_eq!(f.allowed(who, action, &acme, "churn"), *may, "{name} by {who}");
        }
        for (who, may) in operators.iter().zip(operator) {
            assert_eq!(f.allowed(who, action, &acme, "churn"), *may, "{name} by {who}");
        }
    }
}

#[test]
fn the_readme_has_the_same_table() {
    let readme = include_str!("../../README.md");
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(":"))
        .collect();
    let expected = MATRIX.iter().map(|(name, own, _)| {
        let cells: Vec<&str> = own.iter().map(|&may| if may { "yes" } else { "–" }).collect();
        format!("| `{name}` | {} |", cells.join(" | "))
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

#[test]
fn nobody_may_anything_in_another_tenant() {
    let f = fixture();
    let (acme, other) = (f.tenant("acme"), f.tenant("other"));
    for role in Role::ALL {
        let who = f.role(&acme, role);
        for &action in Action::ALL {
            let refused = f.refused(&who, action, &other, "churn");
            let why = ["belongs to another tenant", "only operators may"];
            assert!(why.iter().any(|why| refused.contains(why)), "{refused}");
            f.refused(&who, action, &id("system"), "churn");
            let std_reading = matches!(action, Action::PluginList | Action::PluginRead);
            assert_eq!(
                f.allowed(&who, action, &id("std"), "impute"),
                std_reading && role.includes(Role::Viewer),
                "{action} by {who}"
            );
        }
    }
    for role in Role::ALL {
        let who = f.role(&id("system"), role);
        assert_eq!(
            f.allowed(&who, Action::PluginPush, &id("std"), "impute"),
            role == Role::Admin
        );
    }
}

#[test]
fn a_refusal_says_which_role_would_do() {
    let f = fixture();
    let acme = f.tenant("acme");
    let viewer = f.role(&acme, Role::Viewer);
    assert_eq!(
        f.refused(&viewer, Action::DeploymentPredict, &acme, "churn"),
        "`deployment:churn:predict` is not permitted: this key has the role viewer, and the role predictor \
         would do"
    );
    assert_eq!(
        f.refused(&viewer, Action::QuotaUpdate, &acme, "acme"),
        "`quota:acme:update` is not permitted: only operators may, with a key of the tenant `system`"
    );
    let name = "x".repeat(129);
    assert!(
        f.refused(&viewer, Action::DeploymentRead, &acme, &name)
            .contains("at most 128 bytes")
    );
    let refused = f.refused(&viewer, Action::DeploymentPredict, &acme, "a\nb\u{1b}[31m");
    assert!(!refused.contains(char::is_control), "{refused}");
}

#[test]
fn a_role_includes_what_its_policies_give() {
    let f = fixture();
    let acme = f.tenant("acme");
    for role in Role::ALL {
        for other in Role::ALL {
            let (who, whose) = (f.role(&acme, role), f.role(&acme, other));
            let may_all = Action::ALL
                .iter()
                .all(|&action| f.allowed(&who, action, &acme, "x") || !f.allowed(&whose, action, &acme, "x"));
            assert_eq!(role.includes(other), may_all, "{role} and {other}");
        }
    }
}
