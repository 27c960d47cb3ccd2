//! Tenants, keys, policies.

use caisson_access::{KeyRecord, NewKey, NewTenant, PolicyRecord, Quotas, Settings, TenantRecord};
use serde_json::{Value, json};

use super::super::keys::{KeyList, MadeKey};
use super::super::policies::PolicyList;
use super::super::tenants::{Deleted, TenantList, UsageBody, Whoami};
use super::operation::{Operation, delete, get, post, put};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let mut all = tenants(s);
    all.extend(keys(s));
    all.extend(policies(s));
    all
}

fn tenants(s: &mut Schemas) -> Vec<Operation> {
    vec![
        get("/v1/whoami", "whoami", "Whose the key is").ok::<Whoami<'_>>(s, "Tenant, name and role."),
        get("/v1/tenants", "listTenants", "Every tenant").ok::<TenantList>(s, "The tenants."),
        post("/v1/tenants", "createTenant", "Make a tenant")
            .takes::<NewTenant>(s, json!({ "id": "globex", "display_name": "Globex" }))
            .answers::<TenantRecord>(s, 201, "The tenant.")
            .fails(&[409]),
        get("/v1/tenants/{tenant}", "showTenant", "One tenant").ok::<TenantRecord>(s, "The tenant."),
        delete(
            "/v1/tenants/{tenant}",
            "deleteTenant",
            "Delete a tenant that owns nothing any more",
        )
        .about("Its name is never given out again.")
        .ok::<Deleted>(s, "It is gone.")
        .fails(&[409]),
        post(
            "/v1/tenants/{tenant}/suspend",
            "suspendTenant",
            "Let none of a tenant's keys in",
        )
        .ok::<TenantRecord>(s, "The tenant.")
        .fails(&[409]),
        post("/v1/tenants/{tenant}/resume", "resumeTenant", "Let them in again")
            .ok::<TenantRecord>(s, "The tenant."),
        put(
            "/v1/tenants/{tenant}/quotas",
            "setQuotas",
            "Replace a tenant's quotas",
        )
        .takes::<Quotas>(s, json!({ "requests_per_second": 2000, "plugins": 100 }))
        .ok::<TenantRecord>(s, "The tenant."),
        put(
            "/v1/tenants/{tenant}/settings",
            "setSettings",
            "Replace what a tenant decides for itself",
        )
        .takes::<Settings>(s, json!({ "protected_aliases": ["champion"] }))
        .ok::<TenantRecord>(s, "The tenant."),
        get(
            "/v1/tenants/{tenant}/usage",
            "showUsage",
            "What a tenant may use, and what it does use",
        )
        .ok::<UsageBody<'_>>(s, "Quotas and usage."),
    ]
}

fn keys(s: &mut Schemas) -> Vec<Operation> {
    vec![
        get(
            "/v1/tenants/{tenant}/keys",
            "listKeys",
            "A tenant's keys, without their secrets",
        )
        .ok::<KeyList>(s, "The keys."),
        post("/v1/tenants/{tenant}/keys", "createKey", "Make a key")
            .about("This answer is the only place where its text ever is.")
            .takes::<NewKey>(s, json!({ "name": "ci", "role": "developer" }))
            .answers::<MadeKey<'_>>(s, 201, "The key.")
            .fails(&[409, 507]),
        delete("/v1/tenants/{tenant}/keys/{id}", "revokeKey", "Take a key back")
            .about("When this answers, nobody gets in with it.")
            .path("id", key_id())
            .ok::<KeyRecord>(s, "The key."),
    ]
}

fn policies(s: &mut Schemas) -> Vec<Operation> {
    vec![
        get("/v1/tenants/{tenant}/policies", "listPolicies", "A tenant's own policies")
            .ok::<PolicyList>(s, "The policies."),
        get("/v1/tenants/{tenant}/policies/{policy}", "showPolicy", "One policy").ok::<PolicyRecord>(s, "The policy."),
        put("/v1/tenants/{tenant}/policies/{policy}", "writePolicy", "Write a policy, from its Cedar text")
            .about("It decides from when this answers.")
            .takes_as(
                "text/plain",
                json!({
                    "schema": { "type": "string", "maxLength": 8192 },
                    "example": "forbid(principal, action == Action::\"deployment:deploy\", resource) when { principal.name == \"intern\" };",
                }),
            )
            .ok::<PolicyRecord>(s, "The policy."),
        delete("/v1/tenants/{tenant}/policies/{policy}", "deletePolicy", "Delete a policy")
            .ok::<PolicyRecord>(s, "The policy as it was."),
    ]
}

fn key_id() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9]{12}$", "description": "The public part of the key's text." })
}
