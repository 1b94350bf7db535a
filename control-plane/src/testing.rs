//! What the tests of several modules need: a small catalogue and a signer.

use shared::manifest::Signer;
use std::collections::BTreeMap;

/// A new signer.
pub(crate) fn signer() -> Signer {
    Signer::generate().unwrap().0
}

/// A catalogue with one model, `lab/one`, at the named providers.
pub(crate) fn catalog(providers: &[&str]) -> BTreeMap<String, String> {
    let mut text = r#"
[[models]]
id = "lab/one"
name = "Model One"
created = 1733506137
context_length = 131072
input_modalities = ["text"]
output_modalities = ["text"]
tokenizer = "Other"
"#
    .to_owned();
    for provider in providers {
        text.push_str(&format!(
            r#"
[[providers]]
slug = "{provider}"
name = "{provider}"
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "SOME_API_KEY"

[[endpoints]]
model = "lab/one"
provider = "{provider}"
provider_model = "one"
context_length = 131072
quantization = "fp8"
supported_parameters = ["temperature"]
pricing = {{ prompt = "0.00000012", completion = "0.0000003" }}
"#
        ));
    }
    [("catalog.toml".to_owned(), text)].into()
}
