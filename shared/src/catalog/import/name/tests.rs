use super::*;

fn key(id: &str) -> String {
    Name::read(id, false).key()
}

fn cut(id: &str, tails: &[Tail]) -> String {
    Name::read(id, false).cut(tails).slug()
}

#[test]
fn one_models_names_at_several_hosts_have_one_key() {
    for names in [
        &[
            "meta-llama/Llama-3.3-70B-Instruct",
            "llama3.3-70b-instruct",
            "meta-llama-3_3-70b-instruct",
        ][..],
        &[
            "accounts/fireworks/models/llama-v3p1-405b-instruct",
            "meta-llama/Llama-3.1-405B-Instruct",
        ],
        &[
            "claude-haiku-4-5",
            "claude-4.5-haiku",
            "anthropic/claude-haiku-4.5",
        ],
        &["gpt-35-turbo", "gpt-3.5-turbo"],
        &[
            "@cf/openai/gpt-oss-120b",
            "openai/gpt-oss-120b",
            "openai-gpt-oss-120b",
        ],
        &["qwen2-5-72b-instruct", "Qwen/Qwen2.5-72B-Instruct"],
    ] {
        let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
        assert!(
            keys.windows(2).all(|pair| pair[0] == pair[1]),
            "{names:?} {keys:?}"
        );
    }
}

#[test]
fn different_models_have_different_keys_whatever_is_cut() {
    let all = &[Tail::Serving, Tail::Date, Tail::Instruct, Tail::Speed];
    for (one, other) in [
        ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct"),
        ("qwen3-235b-a22b", "qwen3-235b-a22b-2507"),
        ("deepseek-r1", "deepseek-r1-distill-qwen-32b"),
        ("qwen2.5-vl-72b-instruct", "qwen2.5-72b-instruct"),
        ("qwen3-coder-30b-a3b-instruct", "qwen3-30b-a3b-instruct"),
        ("gpt-4-turbo", "gpt-4"),
        ("grok-4-fast", "grok-4"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash"),
        ("glm-4.7-flashx", "glm-4.7"),
        ("claude-opus-4-1", "claude-opus-4"),
        ("nemotron-nano-9b-v2", "nemotron-nano-9b"),
    ] {
        let cut = |id| Name::read(id, false).cut(all).key();
        assert_ne!(cut(one), cut(other), "{one} {other}");
    }
}

#[test]
fn tails_are_cut_by_what_they_say() {
    let slow = &[Tail::Serving, Tail::Speed];
    for (id, tails, expect) in [
        ("GLM-5.1-FP8", &[Tail::Serving][..], "glm-5.1"),
        ("qwen3-32b-maas", &[Tail::Serving], "qwen3-32b"),
        ("DeepSeek-V3.2-TEE", &[Tail::Serving], "deepseek-v3.2"),
        (
            "Llama-3.3-70B-Instruct-Turbo",
            &[Tail::Serving],
            "llama-3.3-70b-instruct-turbo",
        ),
        (
            "Llama-3.3-70B-Instruct-Turbo",
            slow,
            "llama-3.3-70b-instruct",
        ),
        ("gpt-oss-120b-Turbo", slow, "gpt-oss-120b"),
        ("gpt-4o-2024-05-13", &[Tail::Date], "gpt-4o"),
        ("command-a-03-2025", &[Tail::Date], "command-a"),
        ("claude-opus-4-5-20251101", &[Tail::Date], "claude-opus-4.5"),
        ("gemma-3-27b-it", &[Tail::Instruct], "gemma-3-27b"),
        ("deepseek-chat", &[Tail::Instruct], "deepseek-chat"),
        ("fp8", &[Tail::Serving], "fp8"),
    ] {
        assert_eq!(cut(id, tails), expect, "{id}");
    }
}

#[test]
fn regions_vendors_and_releases_of_bedrock_are_no_names() {
    for (id, expect) in [
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4.5-20250929",
        ),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4.6"),
        ("ai21.jamba-1-5-large-v1:0", "jamba-1-5-large"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss-120b"),
        (
            "mistral.mistral-7b-instruct-v0:2",
            "mistral-7b-instruct-v0.2",
        ),
        ("nvidia.nemotron-nano-9b-v2", "nemotron-nano-9b-v2"),
    ] {
        let name = Name::read(id, true);
        assert_eq!(name.cut(&[Tail::Serving]).slug(), expect, "{id}");
    }
}

#[test]
fn what_is_told_beside_the_name_becomes_precision_and_speed() {
    let model = Name::read("llama-3.3-70b-instruct", false);
    let fast = Name::read("meta/llama-3.3-70b-instruct-fp8-fast", false);
    assert_eq!(fast.quantization(&model), Some(Quantization::Fp8));
    assert_eq!(fast.speed(&model), Some("fast"));
    assert_eq!(model.speed(&model), None);
    let turbo = Name::read("gpt-4-turbo", false);
    assert_eq!(turbo.speed(&turbo), None);
}

#[test]
fn a_word_that_tells_relatives_apart_forbids_a_join() {
    let may = |one: &str, base: &str| Name::read(one, false).may_be(&Name::read(base, false));
    assert!(may("GLM-5.1-FP8", "glm-5.1"));
    assert!(may("kimi-k2.7-code-highspeed", "kimi-k2.7-code"));
    assert!(!may("deepseek-r1-distill-qwen-32b", "deepseek-r1"));
    assert!(!may("qwen3-vl-32b", "qwen3-32b"));
}
