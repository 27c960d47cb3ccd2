//! `caisson policy …`: a tenant's own rules in Cedar, beside the roles that every tenant has.

use std::path::PathBuf;

use clap::Subcommand;

use super::client::{self, Client, segment};
use super::remote::OfTenant;
use super::{Remote, output, tenant};

/// List, show, write and delete policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// All policies of a tenant's own.
    #[command(after_help = "Example:\n  caisson policy list")]
    List {
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
    /// The text of a policy.
    #[command(after_help = "Example:\n  caisson policy show freeze > freeze.cedar")]
    Show {
        /// The policy.
        name: String,
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
    /// Write a policy, in place of the one of this name. In effect when the command returns; what is
    /// wrong with the text is printed with line and column, and nothing is changed.
    #[command(after_help = "Example:
  caisson policy put freeze freeze.cedar

with freeze.cedar:
  forbid (principal, action in [Action::\"deployment:deploy\", Action::\"deployment:rollback\"], resource)
  when { resource.name == \"churn\" };")]
    Put {
        /// The policy.
        name: String,
        /// Its text, in Cedar; `-` for standard input.
        file: PathBuf,
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a policy. In effect when the command returns.
    #[command(after_help = "Example:\n  caisson policy delete freeze")]
    Delete {
        /// The policy.
        name: String,
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) fn run(command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::List { of, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get(&path(&client, &of, None)?)?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            let columns = [("NAME", "name"), ("UPDATED", "updated_at"), ("BY", "updated_by")];
            output::table_of(&answer, "policies", &columns);
        }
        PolicyCommand::Show { name, of, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get(&path(&client, &of, Some(&name))?)?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{}", output::text(&answer, "text").trim_end());
            }
        }
        PolicyCommand::Put {
            name,
            file,
            of,
            remote,
        } => {
            let text = client::read_file(&file)?;
            let client = Client::new(&remote)?;
            let answer = client.put(&path(&client, &of, Some(&name))?, "text/plain", &text)?;
            if client.json {
                output::json(&answer);
            } else {
                println!("the policy {name} is in effect");
            }
        }
        PolicyCommand::Delete { name, of, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.delete(&path(&client, &of, Some(&name))?)?;
            if client.json {
                output::json(&answer);
            } else {
                println!("the policy {name} is deleted");
            }
        }
    }
    Ok(())
}

fn path(client: &Client, of: &OfTenant, name: Option<&str>) -> anyhow::Result<String> {
    let tenant = tenant::path(&client.tenant(of.tenant.as_deref())?);
    Ok(match name {
        None => format!("{tenant}/policies"),
        Some(name) => format!("{tenant}/policies/{}", segment(name)),
    })
}
