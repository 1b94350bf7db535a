//! `godwit admin …`: the command line of the admin API. Tables for people, `--json` for programs.
//! Without flags it speaks to the standalone of the data folder: address, CA and token are read
//! from there. `catalog validate` and `pki` need no running control plane. Exit codes: 0 done,
//! 1 refused or something is wrong with what was asked for, 2 wrong usage, 69 the control plane
//! can't be reached, 77 not allowed.

mod bill;
mod catalog;
mod connect;
mod credentials;
mod endpoints;
mod fleet;
mod guardrails;
mod keys;
mod limits;
mod money;
mod people;
mod pki;
mod rankings;
mod report;
mod rollouts;
#[cfg(test)]
mod tests;
mod topup;

use clap::{Args, Parser, Subcommand};
use report::Report;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tonic::{Code, Status};

/// Refused, or something is wrong.
const EXIT_REFUSED: u8 = 1;
/// The control plane can't be reached (sysexits EX_UNAVAILABLE).
const EXIT_UNREACHABLE: u8 = 69;
/// Not allowed (sysexits EX_NOPERM).
const EXIT_NOT_ALLOWED: u8 = 77;

/// The command line.
#[derive(Parser, Debug)]
#[command(
    name = "godwit admin",
    bin_name = "godwit admin",
    about = "Administers a control plane"
)]
struct AdminArgs {
    #[command(flatten)]
    to: Target,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Which control plane, and as whom.
#[derive(Args, Debug)]
struct Target {
    /// The control plane's gRPC address, e.g. https://127.0.0.1:7070. Default: from the data
    /// folder.
    #[arg(long, global = true, env = "GODWIT_CONTROL", value_name = "URL")]
    control: Option<String>,
    /// The CA that has signed the control plane's certificate. Default: pki/ca.crt in the data
    /// folder.
    #[arg(long, global = true, env = "GODWIT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// An operator's certificate.
    #[arg(
        long,
        global = true,
        env = "GODWIT_CERT",
        value_name = "FILE",
        requires = "key"
    )]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(
        long,
        global = true,
        env = "GODWIT_KEY",
        value_name = "FILE",
        requires = "cert"
    )]
    key: Option<PathBuf>,
    /// The admin token. Default, without a certificate: admin.token in the data folder.
    #[arg(
        long,
        global = true,
        env = "GODWIT_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        conflicts_with = "cert"
    )]
    token: Option<String>,
    /// The data folder of a standalone.
    #[arg(
        long,
        global = true,
        env = "GODWIT_DATA_DIR",
        value_name = "DIR",
        default_value = ".godwit"
    )]
    data_dir: PathBuf,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The catalogue: providers, models, endpoints, prices.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Organisations.
    #[command(subcommand)]
    Orgs(people::OrgsCommand),
    /// Who is in an organisation.
    #[command(subcommand)]
    Members(people::MembersCommand),
    /// Parts of an organisation, which keys belong to.
    #[command(subcommand)]
    Workspaces(people::WorkspacesCommand),
    /// What an organisation forbids its keys.
    #[command(subcommand)]
    Guardrails(guardrails::GuardrailsCommand),
    /// Organisations' own keys at providers.
    #[command(subcommand)]
    Credentials(credentials::CredentialsCommand),
    /// Edge nodes: who is connected, what each serves; takes them out of service.
    Edges {
        #[command(subcommand)]
        command: Option<fleet::EdgesCommand>,
    },
    /// Which revision of the catalogue edges are sent and serve; holds newer ones back.
    #[command(subcommand)]
    Rollouts(rollouts::RolloutsCommand),
    /// Endpoints with price and state; takes them out of service, pins and weighs them.
    Endpoints(endpoints::EndpointsArgs),
    /// What the fleet thinks of endpoints, by region, and how that has changed.
    Rankings(rankings::RankingsArgs),
    /// Why an endpoint has the place that it has.
    Explain {
        /// MODEL@TAG.
        endpoint: String,
        /// Default: the first region.
        #[arg(long)]
        region: Option<String>,
    },
    /// Organisations' money.
    #[command(subcommand)]
    Credits(money::CreditsCommand),
    /// What members, workspaces and organisations may use in a window of time.
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    /// Who has changed what, newest first.
    Audit {
        /// How many entries.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// The books.
    #[command(subcommand)]
    Ledger(money::LedgerCommand),
    /// Certificates; works offline on the data folder.
    #[command(subcommand)]
    Pki(pki::PkiCommand),
}

/// Why a command failed: what is printed, and the exit code.
#[derive(Debug)]
struct Failed {
    code: u8,
    text: String,
}

impl Failed {
    fn new(text: impl Into<String>) -> Self {
        Self {
            code: EXIT_REFUSED,
            text: text.into(),
        }
    }

    fn unreachable(text: impl Into<String>) -> Self {
        Self {
            code: EXIT_UNREACHABLE,
            text: text.into(),
        }
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        let code = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => EXIT_NOT_ALLOWED,
            Code::Unavailable | Code::DeadlineExceeded => EXIT_UNREACHABLE,
            _ => EXIT_REFUSED,
        };
        Self {
            code,
            text: status.message().to_owned(),
        }
    }
}

/// Runs the command of this process, whose first argument is `admin`.
pub(crate) fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let parsed = match AdminArgs::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and usage, with clap's own exit codes.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(parsed)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command and prints what came out.
async fn run(args: AdminArgs) -> ExitCode {
    let json = args.json;
    let report = match Box::pin(execute(args)).await {
        Ok(report) => report,
        Err(failed) => {
            let _ = writeln!(std::io::stderr(), "godwit admin: {}", failed.text);
            return ExitCode::from(failed.code);
        }
    };
    let text = if json {
        report.to_json()
    } else {
        report.to_text()
    };
    // A reader that has gone away (`| head`) is no failure of the command.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    if report.is_wrong() {
        ExitCode::from(EXIT_REFUSED)
    } else {
        ExitCode::SUCCESS
    }
}

async fn execute(args: AdminArgs) -> Result<Report, Failed> {
    let AdminArgs { to, command, .. } = args;
    match command {
        Command::Catalog(command) => catalog::run(&to, command).await,
        Command::Keys(command) => keys::run(&to, command).await,
        Command::Orgs(command) => people::orgs(&to, command).await,
        Command::Members(command) => people::members(&to, command).await,
        Command::Workspaces(command) => people::workspaces(&to, command).await,
        Command::Guardrails(command) => guardrails::run(&to, command).await,
        Command::Credentials(command) => credentials::run(&to, command).await,
        Command::Edges { command } => fleet::run(&to, command).await,
        Command::Rollouts(command) => rollouts::run(&to, command).await,
        Command::Endpoints(args) => endpoints::run(&to, args).await,
        Command::Rankings(args) => rankings::run(&to, args).await,
        Command::Explain { endpoint, region } => {
            rankings::explain(&to, endpoint, region.unwrap_or_default()).await
        }
        Command::Credits(command) => money::credits(&to, command).await,
        Command::Limits(command) => limits::limits(&to, command).await,
        Command::Audit { limit } => money::audit(&to, limit).await,
        Command::Ledger(money::LedgerCommand::Verify) => money::verify(&to).await,
        Command::Ledger(money::LedgerCommand::Reconcile(bill)) => bill::reconcile(&to, bill).await,
        Command::Pki(command) => pki::run(&to.data_dir, command),
    }
}
