use super::*;
use crate::catalog::{
    Auth, DataPolicy, Dialect, EffortWord, Endpoint, Limits, Modality, Model, Parameter,
    PriceOverride, Pricing, Provider, Quantization, Quirk, Timeouts,
};
use crate::id::{EndpointId, ModelId, ProviderSlug};
use crate::money::Price;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::sync::Arc;
use std::time::Duration;

const CONTRACT: &str = r#"
[[providers]]
slug = "acme"                      # ^[a-z0-9][a-z0-9-]*$
name = "Acme AI"
dialect = "openai-chat"
base_url = "http://127.0.0.1:9101/v1"
api_key_env = "ACME_API_KEY"
regions = ["us-east"]
data_policy = { training = false, retention_days = 0 }
quirks = []
timeouts = { connect_ms = 2000, first_token_ms = 10000, stall_ms = 10000, total_ms = 600000 }
limits = { requests_per_minute = 600, tokens_per_minute = 900000, concurrent = 100 }

[[models]]
id = "meta-llama/llama-3.3-70b-instruct"
name = "Llama 3.3 70B Instruct"
created = 1733506137
context_length = 131072
input_modalities = ["text"]
output_modalities = ["text"]
tokenizer = "Llama3"

[[endpoints]]
model = "meta-llama/llama-3.3-70b-instruct"
provider = "acme"
tag = "acme"
provider_model = "llama-3.3-70b"
context_length = 131072
max_completion_tokens = 8192
quantization = "fp8"
supported_parameters = ["temperature", "top_p", "max_tokens", "stop", "tools", "tool_choice", "response_format", "seed"]
pricing = { prompt = "0.00000012", completion = "0.0000003", input_cache_read = "0.00000006", request = "0" }
"#;

const MINIMAL: &str = r#"
[[providers]]
slug = "acme"
dialect = "anthropic-messages"
base_url = "https://acme.example/"
[[models]]
id = "a/b"
context_length = 1000
[[endpoints]]
model = "a/b"
provider = "acme"
provider_model = "b"
pricing = { prompt = "0", completion = "0.5" }
"#;

fn files(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    texts.iter().map(owned).collect()
}

fn problems(text: &str) -> Vec<String> {
    let problems = parse(&files(&[("c.toml", text)])).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// `MINIMAL` with one line replaced: the problem is at that line, with that key and reason.
fn check(line: &str, by: &str, expect: &str) {
    let number = MINIMAL.lines().position(|found| found == line).unwrap() + 1;
    let told = problems(&MINIMAL.replacen(line, by, 1));
    let wanted = format!("c.toml:{number}: {expect}");
    assert!(
        told.iter().any(|text| text.starts_with(&wanted)),
        "{by}: {told:?} has no {wanted:?}"
    );
}

#[test]
fn the_contracts_example_is_read() {
    let catalog = parse(&files(&[("a.toml", CONTRACT)])).unwrap();
    let endpoint = &catalog.endpoints[0];
    assert_eq!(
        endpoint.id.as_str(),
        "meta-llama/llama-3.3-70b-instruct@acme"
    );
    assert_eq!(endpoint.pricing.prompt.to_string(), "0.00000012");
    assert_eq!(endpoint.pricing.request, Some(Price::ZERO));
    assert_eq!(endpoint.supported_parameters.len(), 8);
    let provider = &catalog.providers[0];
    assert_eq!(provider.timeouts.first_token, Duration::from_secs(10));
    assert_eq!(provider.limits.concurrent, Some(100));
    let zero = DataPolicy {
        training: false,
        retention_days: Some(0),
    };
    assert_eq!(provider.data_policy, zero);
    assert_eq!(catalog.models[0].tokenizer, "Llama3");
}

#[test]
fn defaults_are_the_documented_ones() {
    let catalog = parse(&files(&[("a.toml", MINIMAL)])).unwrap();
    let provider = &catalog.providers[0];
    assert_eq!(
        (provider.name.as_str(), provider.auth),
        ("acme", Auth::XApiKey)
    );
    assert_eq!(provider.base_url, "https://acme.example");
    assert_eq!(provider.data_policy, DataPolicy::default());
    let endpoint = &catalog.endpoints[0];
    assert_eq!(
        (endpoint.tag.as_str(), endpoint.context_length),
        ("acme", 1000)
    );
    assert_eq!(catalog.models[0].input_modalities, [Modality::Text]);
}

#[test]
fn records_of_several_files_are_merged_in_order_of_their_ids() {
    let (providers, rest) = CONTRACT.split_once("[[models]]").unwrap();
    let rest = format!("[[models]]{rest}");
    let split = parse(&files(&[("z.toml", providers), ("a.toml", &rest)])).unwrap();
    assert_eq!(split, parse(&files(&[("a.toml", CONTRACT)])).unwrap());
}

/// A line of `MINIMAL`, what stands there instead, and how the problem begins; where that is empty
/// the problem is elsewhere.
const BAD: &[(&str, &str, &str)] = &[
    (
        "slug = \"acme\"",
        "slug = \"Acme\"",
        "providers.slug: \"Acme\" is not a slug",
    ),
    ("slug = \"acme\"", "slug = \"-acme\"", "providers.slug: "),
    (
        "slug = \"acme\"",
        "slug = 7",
        "providers.slug: a TOML integer where a string",
    ),
    (
        "dialect = \"anthropic-messages\"",
        "dialect = \"smoke\"",
        "providers.dialect: \"smoke\" is not one of openai-chat",
    ),
    (
        "dialect = \"anthropic-messages\"",
        "dialect = \"gemini\"\ncolour = 1",
        "",
    ),
    (
        "base_url = \"https://acme.example/\"",
        "base_url = \"ftp://acme.example\"",
        "providers.base_url: ",
    ),
    (
        "base_url = \"https://acme.example/\"",
        "base_url = \"https://u@acme.example\"",
        "providers.base_url: ",
    ),
    (
        "base_url = \"https://acme.example/\"",
        "base_url = \"https://\"",
        "providers.base_url: ",
    ),
    (
        "id = \"a/b\"",
        "id = \"ab\"",
        "models.id: \"ab\" is not author/slug",
    ),
    ("id = \"a/b\"", "id = \"a/b/c\"", "models.id: "),
    (
        "id = \"a/b\"",
        "id = \"godwit/b\"",
        "models.id: the author godwit",
    ),
    (
        "id = \"a/b\"",
        "id = \"a/b:nitro\"",
        "models.id: this variant",
    ),
    (
        "context_length = 1000",
        "context_length = 0",
        "models.context_length: 0 is not from 1",
    ),
    (
        "context_length = 1000",
        "context_length = -5",
        "models.context_length: -5 is not",
    ),
    (
        "context_length = 1000",
        "context_length = \"1000\"",
        "models.context_length: a TOML string",
    ),
    (
        "context_length = 1000",
        "context_length = 99999999999999999999999999",
        "models.context_length: 9999",
    ),
    ("model = \"a/b\"", "model = \"a/c\"", ""),
    (
        "provider = \"acme\"",
        "provider = \"acme\"\ntag = \"other/x\"",
        "",
    ),
    (
        "provider_model = \"b\"",
        "provider_model = \"\"",
        "endpoints.provider_model: empty",
    ),
    (
        "provider_model = \"b\"",
        "tag = \"acmex\"\nprovider_model = \"b\"",
        "endpoints.tag: ",
    ),
];

#[test]
fn every_bad_value_is_refused_at_its_line() {
    for (line, by, expect) in BAD {
        if !expect.is_empty() {
            check(line, by, expect);
        }
        let text = MINIMAL.replacen(line, by, 1);
        assert!(parse(&files(&[("c.toml", &text)])).is_err(), "{by}");
    }
}

#[test]
fn prices_are_plain_decimal_strings_that_are_not_negative() {
    let line = "pricing = { prompt = \"0\", completion = \"0.5\" }";
    for (prompt, reason) in [
        ("0.000001", "a TOML float where a price as a string"),
        ("1", "a TOML integer where a price as a string"),
        ("\"-0.1\"", "\"-0.1\": negative"),
        ("\"1e-6\"", "\"1e-6\": not a plain decimal"),
        ("\"\"", "\"\": not a plain decimal"),
        (
            "\"0.0000000000000000000000000000001\"",
            "\"0.0000000000000000000000000000001\": more digits",
        ),
    ] {
        let by = format!("pricing = {{ prompt = {prompt}, completion = \"0\" }}");
        check(line, &by, &format!("endpoints.pricing.prompt: {reason}"));
    }
    check(
        line,
        "pricing = { prompt = \"1\" }",
        "endpoints.pricing.completion: missing",
    );
    let steps = |steps: &str| {
        format!("pricing = {{ prompt = \"1\", completion = \"1\", overrides = [{steps}] }}")
    };
    check(
        line,
        &steps("{ min_prompt_tokens = 5 }"),
        "endpoints.pricing.overrides.min_prompt_tokens: changes no price",
    );
    let falling =
        "{ min_prompt_tokens = 5, prompt = \"2\" }, { min_prompt_tokens = 5, prompt = \"3\" }";
    check(
        line,
        &steps(falling),
        "endpoints.pricing.overrides.min_prompt_tokens: thresholds must ascend",
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"
[[providers]]
slug = "acme"
dialect = "openai-chat"
base_url = "acme.example"
colour = "blue"
[[providers]]
slug = "acme"
dialect = "openai-chat"
base_url = "http://acme.example"
[[models]]
id = "a/b"
context_length = 1000
[[models]]
id = "a/lonely"
context_length = 1000
[[endpoints]]
model = "a/b"
provider = "nobody"
provider_model = "b"
max_completion_tokens = 2000
pricing = { prompt = "0", completion = "-1" }
[[endpoints]]
model = "a/none"
provider = "acme"
provider_model = "b"
max_completion_tokens = 2000
pricing = { prompt = "0", completion = "1" }
[[endpoints]]
model = "a/b"
provider = "acme"
provider_model = "b"
max_completion_tokens = 2000
supported_parameters = ["tools", "tools", "wings"]
quirks = ["odd"]
pricing = { prompt = "0", completion = "1" }
[[extras]]
"#;
    let told = problems(text);
    let expected = [
        "c.toml:5: providers.base_url: \"acme.example\" is not an http:// or https:// URL",
        "c.toml:6: providers.colour: unknown key; known here: slug, name",
        "c.toml:7: providers.slug: acme is already at c.toml:2",
        "c.toml:14: models.id: no endpoint serves a/lonely",
        "c.toml:17: endpoints.provider: no such provider: \"nobody\"",
        "c.toml:22: endpoints.pricing.completion: \"-1\": negative",
        "c.toml:23: endpoints.model: no such model: \"a/none\"",
        "c.toml:29: endpoints.max_completion_tokens: more than the context length, 1000",
        "c.toml:34: endpoints.supported_parameters: \"tools\" is listed twice",
        "c.toml:34: endpoints.supported_parameters: \"wings\" is not one of temperature",
        "c.toml:35: endpoints.quirks: \"odd\" is not one of no-stream-options",
        "c.toml:37: extras: unknown key; known here: providers, models, endpoints",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
}

#[test]
fn text_that_is_no_toml_is_told_with_its_lines() {
    let told = problems("[[providers]]\nslug = \nname = 'x\n");
    assert!(
        told.iter().any(|text| text.starts_with("c.toml:2: toml: ")),
        "{told:?}"
    );
    let deep = format!("x = {}", "[".repeat(100_000));
    assert!(!problems(&deep).is_empty());
    assert!(!problems("a = 1\na = 2\n").is_empty());
}

#[test]
fn the_list_of_problems_is_bounded() {
    let many = "[[models]]\n".repeat(5_000);
    let told = problems(&many);
    assert_eq!(told.len(), PROBLEMS_MAX);
    assert_eq!(told.last().unwrap(), "catalogue:0: problems: and 9001 more");
}

#[test]
fn a_folder_gives_its_toml_files_only() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b.toml"), MINIMAL).unwrap();
    std::fs::write(folder.path().join("README.md"), "not read").unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/c.toml"), "not = read").unwrap();
    let read = read_dir(folder.path()).unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), ["b.toml"]);
    let error = read_dir(&folder.path().join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing"));
    std::fs::write(folder.path().join("latin.toml"), b"x = '\xe9'").unwrap();
    assert!(
        read_dir(folder.path())
            .unwrap_err()
            .to_string()
            .contains("latin.toml")
    );
}

fn price() -> impl Strategy<Value = Price> {
    (0_u64..u64::MAX, 0_u8..=10).prop_map(|(mantissa, scale)| {
        let whole: Price = mantissa.to_string().parse().unwrap();
        whole.shifted_right(scale).unwrap()
    })
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é\n\"'\\\\]{0,20}".prop_map(|tail| format!("x{tail}"))
}

fn chosen<T: Copy + std::fmt::Debug>(values: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    subsequence(values.to_vec(), 0..=values.len())
}

prop_compose! {
    fn provider()(
        slug in "[a-z0-9][a-z0-9-]{0,8}", name in text(), dialect in select(Dialect::ALL),
        path in "[a-z0-9/]{0,8}", auth in select(Auth::ALL), key in option::of("[A-Z][A-Z0-9_]{0,8}"),
        regions in vec(text(), 0..3), quirks in chosen(Quirk::ALL), training in any::<bool>(),
        retention_days in option::of(0_u32..36_500), ms in vec(1_u64..3_600_000, 4),
        rpm in option::of(1_u32..), tpm in option::of(1_u32..), concurrent in option::of(1_u32..), seat in option::of("[A-Z]{2}"),
    ) -> Provider {
        let timeout = |at: usize| Duration::from_millis(ms[at]);
        Provider {
            slug: ProviderSlug::from(slug), name, dialect, auth,
            base_url: format!("https://h.example/{path}").trim_end_matches('/').to_owned(),
            api_key_env: key.filter(|_| auth != Auth::None),
            regions, quirks,
            data_policy: DataPolicy { training, retention_days },
            timeouts: Timeouts { connect: timeout(0), first_token: timeout(1), stall: timeout(2), total: timeout(3) },
            limits: Limits { requests_per_minute: rpm, tokens_per_minute: tpm, concurrent },
            privacy_policy_url: seat.as_ref().map(|_| "https://h.example/privacy".to_owned()),
            terms_of_service_url: None, status_page_url: None,
            datacenters: seat.iter().cloned().collect(), headquarters: seat,
        }
    }
}

prop_compose! {
    fn model()(
        id in "[a-fm-z][a-z0-9.-]{0,6}/[A-Za-z0-9][a-z0-9._-]{0,8}(:free)?", name in text(),
        created in 0_u64..9_999_999_999, context_length in 1_u64..10_000_000,
        input in chosen(Modality::ALL), output in chosen(Modality::ALL), tokenizer in text(),
        texts in vec(option::of(text()), 4), cutoff in option::of("20[0-9]{2}-0[1-9]-[12][0-9]"),
        distillable in any::<bool>(),
    ) -> Model {
        let filled = |list: Vec<Modality>| if list.is_empty() { vec![Modality::Text] } else { list };
        Model {
            id: ModelId::from(id), name, created, context_length, tokenizer,
            input_modalities: filled(input), output_modalities: filled(output),
            canonical_slug: texts[0].clone(), description: texts[1].clone(),
            hugging_face_id: texts[2].clone(), instruct_type: texts[3].clone(),
            expiration_date: cutoff.clone(), knowledge_cutoff: cutoff, distillable,
        }
    }
}

prop_compose! {
    fn pricing()(
        prompt in price(), completion in price(), p in vec(option::of(price()), 14),
        steps in vec((1_u64..1_000_000, price(), option::of(price())), 0..3),
    ) -> Pricing {
        let mut threshold = 0;
        let overrides = steps.into_iter().map(|(by, prompt, other)| {
            threshold += by;
            PriceOverride {
                min_prompt_tokens: threshold, prompt: Some(prompt), completion: other,
                input_cache_read: other,
                internal_reasoning: other, ..PriceOverride::default()
            }
        });
        Pricing {
            prompt, completion, overrides: overrides.collect(),
            request: p[0], image: p[1], image_token: p[2], image_output: p[3], audio: p[4],
            audio_output: p[5], input_audio_cache: p[6], web_search: p[7], internal_reasoning: p[8],
            input_cache_read: p[9], input_cache_write: p[10], input_cache_write_1h: p[11],
            maps: p[12], citation: p[13],
        }
    }
}

prop_compose! {
    /// An endpoint of some provider and model, to be named by index.
    fn offer()(
        model in any::<Index>(), provider in any::<Index>(), variant in option::of("[a-z0-9]{1,5}(/[a-z]{1,3})?"),
        provider_model in text(), context_length in option::of(1_u64..10_000_000), bound in option::of(1_u64..),
        quantization in select(Quantization::ALL), parameters in chosen(Parameter::ALL), quirks in chosen(Quirk::ALL), efforts in chosen(EffortWord::ALL), pricing in pricing(),
    ) -> (Index, Index, Option<String>, Option<u64>, Endpoint) {
        let endpoint = Endpoint {
            id: EndpointId::from(""), model: ModelId::from(""), provider: ProviderSlug::from(""),
            tag: String::new(), provider_model, context_length: 0, max_completion_tokens: bound,
            max_prompt_tokens: bound, quantization, supported_parameters: parameters, quirks, efforts, pricing,
        };
        (model, provider, variant, context_length, endpoint)
    }
}

prop_compose! {
    fn catalog()(
        mut providers in vec(provider(), 1..4), mut models in vec(model(), 1..4), offers in vec(offer(), 0..6),
        first in offer(),
    ) -> Catalog {
        providers.sort_by(|a, b| a.slug.cmp(&b.slug));
        providers.dedup_by(|a, b| a.slug == b.slug);
        models.sort_by(|a, b| a.id.cmp(&b.id));
        models.dedup_by(|a, b| a.id == b.id);
        let place = |model: &Model, offer: &(Index, Index, Option<String>, Option<u64>, Endpoint)| {
            let (_, provider, variant, context, endpoint) = offer.clone();
            let slug = provider.get(&providers).slug.clone();
            let tag = variant.map_or_else(|| slug.to_string(), |variant| format!("{slug}/{variant}"));
            let context_length = context.unwrap_or(model.context_length);
            let bound = endpoint.max_completion_tokens.map(|tokens| tokens % context_length + 1);
            let bound = bound.filter(|tokens| *tokens <= context_length);
            Endpoint {
                id: EndpointId::of(&model.id, &tag), model: model.id.clone(), provider: slug, tag,
                context_length, max_completion_tokens: bound, max_prompt_tokens: bound, ..endpoint
            }
        };
        let every = models.iter().map(|model| place(model, &first));
        let some = offers.iter().map(|offer| place(offer.0.get(&models), offer));
        let mut endpoints: Vec<_> = every.chain(some).collect();
        endpoints.sort_by(|a, b| (&a.model, &a.tag).cmp(&(&b.model, &b.tag)));
        endpoints.dedup_by(|a, b| a.id == b.id);
        Catalog {
            providers: providers.into_iter().map(Arc::new).collect(),
            models: models.into_iter().map(Arc::new).collect(),
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            auto: None,
        }
    }
}

#[test]
fn a_table_of_models_is_read_whole_or_refused() {
    let with = |auto: &str| parse(&files(&[("a.toml", &format!("{CONTRACT}\n{auto}"))]));
    let llama = "meta-llama/llama-3.3-70b-instruct";
    let good = format!(
        "[[auto]]\ntask = \"code\"\nmax = [\"{llama}\"]\n\
         [[auto]]\ntask = \"default\"\nclassifier = 1\nlow = [\"{llama}\"]\nhigh = [\"{llama}\"]\n"
    );
    let catalog = with(&good).unwrap();
    let table = catalog.auto.clone().unwrap();
    assert_eq!((table.classifier, table.rows.len()), (1, 3));
    assert_eq!(parse(&to_toml(&catalog)).unwrap(), catalog);

    let refused = |auto: &str, reason: &str| {
        let problems = with(auto).unwrap_err();
        let found = problems
            .iter()
            .any(|problem| problem.to_string().contains(reason));
        assert!(found, "{reason}: {problems:?}");
    };
    refused(
        "[[auto]]\ntask = \"code\"\nlow = [\"a/b\"]",
        "no such model: \"a/b\"",
    );
    refused(
        "[[auto]]\ntask = \"code\"\nlow = []",
        "no models for any tier",
    );
    refused(
        &format!("[[auto]]\ntask = \"code\"\nlow = [\"{llama}\"]"),
        "no table of the task default",
    );
    refused("[[auto]]\ntask = \"dance\"", "not a task of the classifier");
    refused(
        "[[auto]]\ntask = \"default\"\nclassifier = 9",
        "not from 1 to 1",
    );
    refused(&format!("{good}{good}"), "already at");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(catalog in catalog()) {
        let texts = to_toml(&catalog);
        let back = parse(&texts);
        prop_assert_eq!(back.as_ref(), Ok(&catalog), "{:?}", texts);
        prop_assert_eq!(to_toml(&back.unwrap()), texts);
    }

    #[test]
    fn no_text_panics(text in "(\\[\\[(models|providers|endpoints|auto)\\]\\]\n|[a-z_]{1,8} = (\"[a-z/]{0,4}\"|[0-9]{1,3}|\\[\\]|\\{\\})\n|[\\[\\]{}=\"\n#.]){0,20}") {
        let _ = parse(&files(&[("x.toml", &text)]));
    }
}
