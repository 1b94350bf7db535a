use super::*;

#[test]
fn stars_stand_for_anything() {
    for (pattern, text, expect) in [
        ("gpt-*", "gpt-4o", true),
        ("gpt-*", "xgpt-4o", false),
        ("*audio*", "gpt-audio-mini", true),
        ("*-maas", "meta/Llama-maas", true),
        ("*-maas", "maas-x", false),
        ("exact", "exact", true),
        ("exact", "exactly", false),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "acb", false),
    ] {
        assert_eq!(fits(pattern, text), expect, "{pattern} {text}");
    }
}

#[test]
fn the_shipped_decisions_are_consistent() {
    let decisions = Decisions::shipped().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for source in &decisions.sources {
        assert!(
            seen.insert(&source.provider),
            "{} is there twice",
            source.provider
        );
        assert!(
            !source.litellm.is_empty() || !source.models_dev.is_empty(),
            "{}",
            source.provider
        );
    }
    for row in &decisions.quirks {
        assert!(Quirk::parse(&row.quirk).is_some(), "{}", row.quirk);
    }
    for row in &decisions.efforts {
        assert!(
            row.words.iter().all(|w| EffortWord::parse(w).is_some()),
            "{row:?}"
        );
    }
    let switches = decisions
        .sources
        .iter()
        .flat_map(|s| [&s.toggle, &s.budget]);
    for word in switches.filter(|word| !word.is_empty()) {
        assert!(Quirk::parse(word).is_some(), "{word}");
    }
    for row in &decisions.refusals {
        let known = row.parameters.iter().all(|p| Parameter::parse(p).is_some());
        assert!(known, "{row:?}");
    }
    for left_out in &decisions.left_out {
        for name in left_out.litellm.iter() {
            assert!(
                !decisions.sources.iter().any(|s| s.litellm.contains(name)),
                "{name}"
            );
        }
        for name in left_out.models_dev.iter() {
            assert!(
                !decisions
                    .sources
                    .iter()
                    .any(|s| s.models_dev.contains(name)),
                "{name}"
            );
        }
    }
}
