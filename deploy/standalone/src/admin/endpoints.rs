//! `godwit admin endpoints …`: prices and states, and what an operator wants of them.

use super::report::{Report, Table};
use super::{Failed, Target, connect};
use clap::{Args, Subcommand};
use serde_json::json;
use shared::proto::admin as wire;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct EndpointsArgs {
    /// Only of this model, e.g. openai/gpt-4o.
    #[arg(long)]
    model: Option<String>,
    #[command(subcommand)]
    command: Option<EndpointsCommand>,
}

#[derive(Subcommand, Debug)]
enum EndpointsCommand {
    /// Sends it no new requests, in any region, even where nobody else is left.
    Cordon {
        /// MODEL@TAG.
        endpoint: String,
        /// For good: it is shown as `disabled` and not as `draining`.
        #[arg(long)]
        disable: bool,
    },
    /// Puts it back in service.
    Uncordon {
        /// MODEL@TAG.
        endpoint: String,
    },
    /// Sends its model's requests to it, as long as it does not fail.
    Pin {
        /// MODEL@TAG.
        endpoint: String,
    },
    /// Ends that.
    Unpin {
        /// MODEL@TAG.
        endpoint: String,
    },
    /// Multiplies its weight; 1 is none.
    Weight {
        /// MODEL@TAG.
        endpoint: String,
        /// 0 to 1000.
        factor: f64,
    },
}

pub(super) async fn run(to: &Target, args: EndpointsArgs) -> Result<Report, Failed> {
    let Some(command) = args.command else {
        return list(to, args.model.unwrap_or_default()).await;
    };
    let mut request = wire::SetEndpointRequest::default();
    match command {
        EndpointsCommand::Cordon { endpoint, disable } => {
            let state = if disable { "disabled" } else { "draining" };
            (request.endpoint, request.state) = (endpoint, Some(state.to_owned()));
        }
        EndpointsCommand::Uncordon { endpoint } => {
            (request.endpoint, request.state) = (endpoint, Some(String::new()));
        }
        EndpointsCommand::Pin { endpoint } => {
            (request.endpoint, request.pinned) = (endpoint, Some(true));
        }
        EndpointsCommand::Unpin { endpoint } => {
            (request.endpoint, request.pinned) = (endpoint, Some(false));
        }
        EndpointsCommand::Weight { endpoint, factor } => {
            (request.endpoint, request.weight) = (endpoint, Some(factor));
        }
    }
    set(to, request).await
}

async fn set(to: &Target, request: wire::SetEndpointRequest) -> Result<Report, Failed> {
    let endpoint = request.endpoint.clone();
    let response = connect::client(to).await?.set_endpoint(request).await?;
    let wish = response.into_inner();
    let state = if wish.state.is_empty() {
        "in service"
    } else {
        wish.state.as_str()
    };
    let pinned = if wish.pinned { ", pinned" } else { "" };
    let line = format!("{endpoint}: {state}{pinned}, weight x{}", wish.weight);
    let json = json!({
        "endpoint": endpoint,
        "state": wish.state,
        "pinned": wish.pinned,
        "weight": wish.weight,
    });
    Ok(Report::new(json).line(line))
}

async fn list(to: &Target, model: String) -> Result<Report, Failed> {
    let request = wire::ListEndpointsRequest { model };
    let response = connect::client(to).await?.list_endpoints(request).await?;
    let endpoints = response.into_inner().endpoints;
    let mut table = Table::new(&[
        "ENDPOINT",
        "PROVIDER",
        "PROMPT USD/TOKEN",
        "COMPLETION USD/TOKEN",
        "STATE",
        "PINNED",
        "WEIGHT",
    ]);
    for row in &endpoints {
        table.row([
            row.endpoint.clone(),
            row.provider.clone(),
            row.prompt_price.clone(),
            row.completion_price.clone(),
            row.state.clone(),
            if row.pinned { "yes" } else { "-" }.to_owned(),
            row.weight.to_string(),
        ]);
    }
    let json = endpoints.iter().map(|row| {
        json!({
            "endpoint": row.endpoint,
            "provider": row.provider,
            "prompt_price": row.prompt_price,
            "completion_price": row.completion_price,
            "state": row.state,
            "pinned": row.pinned,
            "weight": row.weight,
        })
    });
    Ok(Report::new(json.collect()).table(table))
}
