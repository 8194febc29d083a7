//! Commands about who may do what, and the flags that say whom to ask and who asks.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Subcommand};
use proto::{Endpoint, Name, Role};

/// Whom to ask, when it is not the supervisor of a sereno.toml here.
#[derive(Debug, Clone, Default, Group)]
pub(crate) struct Remote {
    /// Ask the supervisor at this URI, such as `https://host:7611` or
    /// `http://127.0.0.1:7610` [default: that of a context, else
    /// `SERENO_SUPERVISOR`, else that of the file]
    #[arg(long, value_name = "URI", value_parser = Endpoint::parse, help_heading = "Elsewhere")]
    pub(crate) endpoint: Option<Endpoint>,
    /// Ask the one that "ctl context" keeps by this name
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint", help_heading = "Elsewhere")]
    pub(crate) context: Option<Name>,
    #[command(flatten)]
    pub(crate) credentials: CredentialFlags,
}

/// What shows who asks.
#[derive(Debug, Clone, Default, Group)]
pub(crate) struct CredentialFlags {
    /// The file with the token, for http:// [default: `SERENO_TOKEN_FILE`]
    #[arg(long, value_name = "FILE", help_heading = "Elsewhere")]
    pub(crate) token_file: Option<PathBuf>,
    /// The authority that is trusted, for https://
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"], help_heading = "Elsewhere")]
    pub(crate) ca: Option<PathBuf>,
    /// Who asks: a certificate
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"], help_heading = "Elsewhere")]
    pub(crate) cert: Option<PathBuf>,
    /// What proves it: its private key
    #[arg(long, value_name = "FILE", requires_all = ["ca", "cert"], help_heading = "Elsewhere")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Context {
    #[command(subcommand)]
    pub(crate) what: ContextCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Keep a supervisor by name, and what is shown there
    Add {
        /// What to call it
        name: Name,
        /// Where it listens: `https://host:7611`, `http://127.0.0.1:7610`
        #[arg(long, value_name = "URI", value_parser = Endpoint::parse)]
        endpoint: Endpoint,
        #[command(flatten)]
        credentials: CredentialFlags,
    },
    /// Ask that one from now on; "none": the one of the file again
    Use {
        /// Its name
        name: Name,
    },
    /// Show them; the one in use has a star
    #[command(alias = "ls")]
    List,
    /// Forget one
    #[command(alias = "rm")]
    Remove {
        /// Its name
        name: Name,
    },
}

#[derive(Debug, Group)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) what: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make one, and print it this once
    New(NewToken),
    /// Show whose tokens are taken
    #[command(alias = "ls")]
    List,
    /// Take one no more, from the next call on
    #[command(alias = "rm")]
    Revoke {
        /// Whose
        name: Name,
    },
}

#[derive(Debug, Group)]
pub(crate) struct NewToken {
    /// Whose it is; a monitor's: its name in the file
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) may: May,
    /// Write it into this file, for its owner only, instead of printing it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What somebody may do.
#[derive(Debug, Clone, Group)]
pub(crate) struct May {
    /// viewer, monitor or operator
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    /// Only for these services, between commas (role monitor)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) services: Vec<Name>,
}

#[derive(Debug, Group)]
pub(crate) struct Pki {
    #[command(subcommand)]
    pub(crate) what: PkiCommand,
    /// Where keys and certificates lie
    #[arg(long, global = true, value_name = "FOLDER", default_value = "pki")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make an authority: ca.pem, which goes to everybody, and ca.key, which
    /// stays here
    Init {
        /// How long it is good for
        #[arg(long, value_name = "TIME", default_value = "10y", value_parser = super::duration)]
        valid: Duration,
    },
    /// Make a certificate with a role in it: NAME.pem and NAME.key
    Issue(Issue),
    /// Make a new certificate like the one there is, with a new key
    Renew {
        /// Whose [default: everybody's that ends within 30 days]
        names: Vec<Name>,
        /// How long it is good for
        #[arg(long, value_name = "TIME", default_value = "90d", value_parser = super::duration)]
        valid: Duration,
    },
}

#[derive(Debug, Group)]
pub(crate) struct Issue {
    /// Whose it is; a monitor's: its name in the file
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) may: May,
    /// Names and addresses at which it listens, between commas
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(crate) host: Vec<String>,
    /// How long it is good for
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = super::duration)]
    pub(crate) valid: Duration,
}
