//! Lines of the real lists (licences: deploy/catalog/README.md), joined.

use super::*;
use crate::catalog::{Endpoint, Parameter, Quantization, Quirk};

const LITELLM: &str = include_str!("tests/litellm.json");
const MODELS_DEV: &str = include_str!("tests/models-dev.json");
const PROVIDERS: &str = include_str!("../../../../deploy/catalog/providers.toml");

const LISTS: Lists<'static> = Lists {
    providers: PROVIDERS,
    litellm: LITELLM,
    models_dev: MODELS_DEV,
    models_dev_base: Some(include_str!("tests/models-dev-base.json")),
    openrouter: include_str!("tests/openrouter.json"),
    identity: Some(include_str!("tests/identity.json")),
    genai: Some(include_str!("tests/genai.json")),
};

fn endpoint<'a>(imported: &'a Imported, id: &str) -> &'a Endpoint {
    let found = imported
        .catalog
        .endpoints
        .iter()
        .find(|endpoint| endpoint.id.as_str() == id);
    found.unwrap_or_else(|| panic!("no endpoint {id}"))
}

fn ids(imported: &Imported) -> Vec<&str> {
    imported
        .catalog
        .endpoints
        .iter()
        .map(|endpoint| endpoint.id.as_str())
        .collect()
}

fn text(price: Option<crate::money::Price>) -> String {
    price.unwrap().to_string()
}

#[test]
fn offers_of_one_model_are_joined_under_its_listed_id() {
    let imported = import(&LISTS).unwrap();
    let expected = [
        "anthropic/claude-sonnet-4.5@amazon-bedrock/global",
        "anthropic/claude-sonnet-4.5@amazon-bedrock/us",
        "anthropic/claude-sonnet-4.5@anthropic",
        "arcee-ai/trinity-large-thinking@digitalocean",
        "arcee-ai/trinity-large-thinking@venice",
        "deepseek/deepseek-r1-distill-qwen-32b@cloudflare",
        "deepseek/deepseek-v4-pro@deepseek",
        "deepseek/deepseek-v4-pro@novita",
        "google/gemma-4-31b-it:free@google-ai-studio",
        "meta-llama/llama-3.3-70b-instruct@amazon-bedrock/us",
        "meta-llama/llama-3.3-70b-instruct@deepinfra/turbo",
        "meta-llama/llama-3.3-70b-instruct@groq",
        "openai/gpt-5.4@azure-foundry",
        "openai/gpt-5.4@openai",
        "openai/gpt-oss-120b@deepinfra",
        "openai/gpt-oss-120b@groq",
        "openai/gpt-oss-120b@together",
        "qwen/qwen-flash@alibaba",
        "x-ai/grok-4.3@amazon-bedrock-mantle-openai",
        "x-ai/grok-4.3@xai",
    ];
    assert_eq!(ids(&imported), expected);
    assert_eq!(imported.report.models, imported.catalog.models.len());
    assert_eq!(imported.report.shared_models, 7);
    // A price of zero counts only where the listing has the free model apart.
    let free = endpoint(&imported, "google/gemma-4-31b-it:free@google-ai-studio");
    assert!(free.pricing.prompt.is_zero() && free.pricing.completion.is_zero());
}

#[test]
fn what_a_model_demands_is_said_where_it_is_known() {
    let imported = import(&LISTS).unwrap();
    let quirks = |id: &str| endpoint(&imported, id).quirks.clone();
    let back = vec![Quirk::ReasoningContentBack];
    assert_eq!(quirks("deepseek/deepseek-v4-pro@novita"), back);
    // Its provider says so of all its models.
    assert_eq!(quirks("deepseek/deepseek-v4-pro@deepseek"), []);
    assert_eq!(quirks("openai/gpt-oss-120b@groq"), []);
}

#[test]
fn every_price_keeps_the_digits_of_its_list() {
    let imported = import(&LISTS).unwrap();
    let priced = |id: &str| &endpoint(&imported, id).pricing;
    let novita = priced("deepseek/deepseek-v4-pro@novita");
    assert_eq!(novita.prompt.to_string(), "0.0000016000000000000001");
    assert_eq!(novita.completion.to_string(), "0.0000032000000000000003");
    assert_eq!(imported.report.noisy_prices, 2);
    let claude = priced("anthropic/claude-sonnet-4.5@anthropic");
    assert_eq!(claude.prompt.to_string(), "0.000003");
    assert_eq!(text(claude.input_cache_read), "0.0000003");
    assert_eq!(text(claude.input_cache_write), "0.00000375");
    assert_eq!(text(claude.input_cache_write_1h), "0.000006");
    assert_eq!(text(claude.web_search), "0.01");
    let together = priced("openai/gpt-oss-120b@together");
    assert_eq!(
        (together.prompt.to_string(), together.completion.to_string()),
        ("0.00000015".into(), "0.0000006".into())
    );
}

#[test]
fn long_prompts_have_their_own_prices() {
    let imported = import(&LISTS).unwrap();
    let steps = |id: &str| -> Vec<(u64, String, String)> {
        let overrides = endpoint(&imported, id).pricing.overrides.iter();
        overrides
            .map(|step| {
                (
                    step.min_prompt_tokens,
                    text(step.prompt),
                    text(step.completion),
                )
            })
            .collect()
    };
    // Members named by threshold, an array of ranges, and the other list's steps.
    assert_eq!(
        steps("openai/gpt-5.4@openai"),
        [(272_000, "0.000005".into(), "0.0000225".into())]
    );
    assert_eq!(
        steps("qwen/qwen-flash@alibaba"),
        [(256_000, "0.00000025".into(), "0.000002".into())]
    );
    assert_eq!(
        steps("x-ai/grok-4.3@xai"),
        [(200_000, "0.0000025".into(), "0.000005".into())]
    );
    let flash = &endpoint(&imported, "qwen/qwen-flash@alibaba").pricing;
    assert_eq!(flash.prompt.to_string(), "0.00000005");
}

#[test]
fn what_a_list_says_of_an_endpoint_is_kept_within_its_dialect() {
    let imported = import(&LISTS).unwrap();
    let groq = endpoint(&imported, "openai/gpt-oss-120b@groq");
    assert_eq!(
        (groq.context_length, groq.max_completion_tokens),
        (131_072, Some(65_536))
    );
    assert_eq!(groq.provider_model, "openai/gpt-oss-120b");
    assert!(groq.supported_parameters.contains(&Parameter::Tools));
    let claude = endpoint(&imported, "anthropic/claude-sonnet-4.5@anthropic");
    assert!(claude.supported_parameters.contains(&Parameter::Tools));
    assert!(!claude.supported_parameters.contains(&Parameter::Seed));
    assert_eq!(claude.provider_model, "claude-sonnet-4-5");
    assert_eq!(claude.quantization, Quantization::Unknown);
}

#[test]
fn a_profile_of_bedrocks_has_its_own_price_and_its_place_in_the_tag() {
    let imported = import(&LISTS).unwrap();
    let offer = |id: &str| {
        let endpoint = endpoint(&imported, id);
        let price = endpoint.pricing.prompt.to_string();
        (endpoint.provider_model.as_str(), price)
    };
    // Without a profile it is refused, and under the fourth name it is not known.
    assert_eq!(
        offer("anthropic/claude-sonnet-4.5@amazon-bedrock/global"),
        (
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "0.000003".to_owned()
        )
    );
    assert_eq!(
        offer("anthropic/claude-sonnet-4.5@amazon-bedrock/us"),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "0.0000033".to_owned()
        )
    );
    assert_eq!(
        offer("meta-llama/llama-3.3-70b-instruct@amazon-bedrock/us").0,
        "us.meta.llama3-3-70b-instruct-v1:0"
    );
}

#[test]
fn an_endpoint_has_the_quirks_that_were_decided() {
    let imported = import(&LISTS).unwrap();
    let foundry = endpoint(&imported, "openai/gpt-5.4@azure-foundry");
    assert_eq!(foundry.quirks, [Quirk::MaxCompletionTokens]);
    assert!(
        endpoint(&imported, "openai/gpt-5.4@openai")
            .quirks
            .is_empty()
    );
}

#[test]
fn a_distillation_is_not_the_model_that_the_list_calls_its_base() {
    let imported = import(&LISTS).unwrap();
    assert!(
        ids(&imported)
            .iter()
            .all(|id| !id.starts_with("deepseek/deepseek-r1@"))
    );
}

#[test]
fn gateways_retired_offers_and_unknown_providers_are_left_out() {
    let imported = import(&LISTS).unwrap();
    let report = &imported.report;
    assert_eq!(
        report.unknown_providers.iter().collect::<Vec<_>>(),
        ["litellm newhost"]
    );
    // LiteLLM says that it ended in August; models.dev, which is older, still offers it.
    assert!(ids(&imported).iter().all(|id| !id.contains("fireworks")));
    let gone = report
        .skipped
        .iter()
        .filter(|((_, reason), _)| reason == "marked as gone");
    let gone: Vec<_> = gone.flat_map(|(_, keys)| keys).collect();
    assert!(gone.contains(
        &&"fireworks: fireworks-ai/accounts/fireworks/models/deepseek-v4-flash".to_owned()
    ));
    assert!(report.to_string().contains("litellm newhost"));
    assert_eq!(report.differing.len(), 1, "{:?}", report.differing);
    assert!(
        report
            .differing
            .iter()
            .all(|line| line.starts_with("deepseek/deepseek-v4-pro@deepseek: "))
    );
}

#[test]
fn equal_lists_give_equal_bytes_and_a_catalogue_that_is_read_back() {
    let (first, second) = (import(&LISTS).unwrap(), import(&LISTS).unwrap());
    assert_eq!(first.files, second.files);
    assert_eq!(
        first.files.get("providers.toml").map(String::as_str),
        Some(PROVIDERS)
    );
    let provenance = first.files.get("provenance.tsv").unwrap();
    assert_eq!(provenance.lines().count(), first.catalog.endpoints.len());
    assert!(provenance.contains("openai/gpt-oss-120b@groq\tlitellm\tgroq/openai/gpt-oss-120b\n"));
}

#[test]
fn a_broken_list_is_named() {
    let error = import(&Lists {
        litellm: "{",
        ..LISTS
    })
    .unwrap_err();
    assert!(error.to_string().starts_with("litellm: "), "{error}");
    let error = import(&Lists {
        providers: "[[providers]]\nslug = 1\n",
        ..LISTS
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("providers.toml:2: providers.slug"),
        "{error}"
    );
}
