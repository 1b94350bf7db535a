//! The `plugins` of a request: `auto-router` and `web` are read strictly, plugins that are turned off
//! are passed over, and those that are not built are refused by name.

use crate::dialect::search::Search;
use crate::failure::Failure;
use crate::ingress::later;
use crate::ingress::peek::{Refused, boolean, expect, integer};
use crate::wire::json::{Kind, Scanner, Span};
use shared::catalog::CostTier;
use shared::routing::auto::Options;

/// How many plugins may stand in the list.
const PLUGINS_MAX: usize = 16;
/// How many patterns a list of models may have.
const PATTERNS_MAX: usize = 200;
/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256;
/// The trade-off that went before tiers: 0 is quality, 10 is price.
const TRADEOFF_MAX: u64 = 10;

/// What the plugins ask for.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    /// Of `godwit/auto`.
    pub(crate) auto: Option<Options>,
    /// A search of the web: its place, in words and in the body.
    pub(crate) web: Option<(String, Span)>,
}

/// Consumes the list.
pub(crate) fn list(scanner: &mut Scanner<'_>) -> Result<Plugins, Refused> {
    let (mut plugins, mut count) = (Plugins::default(), 0);
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("plugins[{count}]");
        count += 1;
        if count > PLUGINS_MAX {
            let message = format!("plugins may have at most {PLUGINS_MAX} entries");
            return Err(Failure::invalid("plugins", message).into());
        }
        expect(&place, &[Kind::Object], scanner.kind()?)?;
        let (id, enabled) = head(&mut scanner.clone(), &place)?;
        match id.as_str() {
            "auto-router" if enabled => plugins.auto = Some(auto_router(scanner, &place)?),
            "web" if enabled => {
                let span = scanner.value()?;
                let Some(search) = Search::settings(scanner.raw(span)) else {
                    let message = format!("{place} has a setting that is not known");
                    return Err(Failure::invalid(&place, message).into());
                };
                later::search(&format!("{place}.engine"), &search)?;
                plugins.web = Some((place, span));
            }
            // Settings of another router than the one that is asked for count for nothing.
            "auto-beta-router" => {
                scanner.value()?;
            }
            _ if !enabled => {
                scanner.value()?;
            }
            _ => {
                let feature = format!("the plugin {}", id.chars().take(64).collect::<String>());
                return Err(later::refuse("plugins", &feature, "leave it out").into());
            }
        }
    }
    Ok(plugins)
}

/// Which plugin it is, and whether it is on.
fn head(scanner: &mut Scanner<'_>, place: &str) -> Result<(String, bool), Refused> {
    let (mut id, mut enabled) = (None, true);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("id", kind) => {
                expect(&format!("{place}.id"), &[Kind::String], kind)?;
                id = Some(scanner.string()?.decode().into_owned());
            }
            ("enabled", kind) if kind != Kind::Null => {
                expect(&format!("{place}.enabled"), &[Kind::Bool], kind)?;
                enabled = boolean(scanner)?;
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    let place = format!("{place}.id");
    let missing = || Failure::invalid(&place, format!("{place} is missing"));
    Ok((id.ok_or_else(missing)?, enabled))
}

fn auto_router(scanner: &mut Scanner<'_>, place: &str) -> Result<Options, Refused> {
    let (mut options, mut tradeoff) = (Options::default(), None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let place = format!("{place}.{name}");
        let kind = scanner.kind()?;
        if kind == Kind::Null || matches!(&*name, "id" | "enabled") {
            scanner.value()?;
            continue;
        }
        let kinds: &[Kind] = match &*name {
            "allowed_models" | "excluded_models" => &[Kind::Array],
            "cost_tier" => &[Kind::String],
            "pin_model" => &[Kind::Bool],
            "cost_quality_tradeoff" => &[Kind::Number],
            _ => {
                let message = format!("{place} is not a known setting");
                return Err(Failure::invalid(&place, message).into());
            }
        };
        expect(&place, kinds, kind)?;
        match &*name {
            "allowed_models" => options.allowed_models = patterns(scanner, &place)?,
            "excluded_models" => options.excluded_models = patterns(scanner, &place)?,
            "pin_model" => options.pin_model = boolean(scanner)?,
            "cost_tier" => options.cost_tier = Some(tier(&scanner.string()?.decode(), &place)?),
            _ => tradeoff = Some(integer(scanner, &place, 0, TRADEOFF_MAX)?),
        }
    }
    if options.cost_tier.is_none() {
        options.cost_tier = tradeoff.map(tier_of);
    }
    Ok(options)
}

fn tier_of(tradeoff: u64) -> CostTier {
    match tradeoff {
        0..=1 => CostTier::Max,
        2..=3 => CostTier::Xhigh,
        4..=5 => CostTier::High,
        6..=7 => CostTier::Medium,
        _ => CostTier::Low,
    }
}

fn tier(name: &str, place: &str) -> Result<CostTier, Failure> {
    CostTier::parse(name).ok_or_else(|| {
        let known: Vec<&str> = CostTier::ALL.iter().map(|tier| tier.as_str()).collect();
        let message = format!("{place} must be one of {}", known.join(", "));
        Failure::invalid(place, message)
    })
}

fn patterns(scanner: &mut Scanner<'_>, place: &str) -> Result<Vec<String>, Refused> {
    let mut list: Vec<String> = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("{place}[{}]", list.len());
        expect(&place, &[Kind::String], scanner.kind()?)?;
        let pattern = scanner.string()?.decode();
        if pattern.len() > PATTERN_BYTES_MAX || list.len() >= PATTERNS_MAX {
            let message = format!(
                "{place}: at most {PATTERNS_MAX} patterns of at most {PATTERN_BYTES_MAX} bytes"
            );
            return Err(Failure::invalid(&place, message).into());
        }
        list.push(pattern.into_owned());
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Options>, Failure> {
        let read = list(&mut Scanner::new(text)).map_err(|refused| match refused {
            Refused::Call(failure) => *failure,
            Refused::Syntax(error) => Failure::invalid("", error.to_string()),
        });
        read.map(|plugins| plugins.auto)
    }

    #[test]
    fn a_search_that_a_provider_does_is_noted() {
        let text = r#"[{"id":"auto-router"},{"id":"web","engine":"native","max_results":3}]"#;
        let plugins = list(&mut Scanner::new(text)).unwrap();
        let (place, span) = plugins.web.unwrap();
        assert_eq!(place, "plugins[1]");
        assert!(text[span.start..span.end].starts_with(r#"{"id":"web""#));
        let off = list(&mut Scanner::new(r#"[{"id":"web","enabled":false}]"#));
        assert!(off.unwrap().web.is_none());
    }

    #[test]
    fn the_auto_router_is_read() {
        assert_eq!(read("[]").unwrap(), None);
        let options = read(
            r#"[{"allowed_models":["anthropic/*"],"id":"auto-router","excluded_models":["*-mini"],
                "cost_tier":"high","pin_model":true,"cost_quality_tradeoff":10,"enabled":true}]"#,
        );
        let expect = Options {
            allowed_models: vec!["anthropic/*".to_owned()],
            excluded_models: vec!["*-mini".to_owned()],
            cost_tier: Some(CostTier::High),
            pin_model: true,
        };
        assert_eq!(options.unwrap(), Some(expect));
        let options = read(r#"[{"id":"auto-router","cost_quality_tradeoff":9}]"#).unwrap();
        assert_eq!(options.unwrap().cost_tier, Some(CostTier::Low));
        assert_eq!(
            read(r#"[{"id":"auto-router","enabled":false,"cost_tier":7}]"#).unwrap(),
            None
        );
        assert_eq!(
            read(r#"[{"id":"auto-beta-router","cost_tier":"low"}]"#).unwrap(),
            None
        );
        assert_eq!(read(r#"[{"id":"web","enabled":false}]"#).unwrap(), None);
    }

    #[test]
    fn what_is_not_meant_or_not_built_is_refused() {
        for (text, place) in [
            (r#"[{"id":"file-parser"}]"#, "plugins"),
            (r#"[{"id":"web","engine":"exa"}]"#, "plugins[0].engine"),
            (r#"[{"id":"web","depth":"deep"}]"#, "plugins[0]"),
            (
                r#"[{"id":"auto-router"},{"enabled":true}]"#,
                "plugins[1].id",
            ),
            (r#"[7]"#, "plugins[0]"),
            (
                r#"[{"id":"auto-router","cost_tier":"huge"}]"#,
                "plugins[0].cost_tier",
            ),
            (
                r#"[{"id":"auto-router","pin_model":1}]"#,
                "plugins[0].pin_model",
            ),
            (
                r#"[{"id":"auto-router","allowed_models":[1]}]"#,
                "plugins[0].allowed_models[0]",
            ),
            (
                r#"[{"id":"auto-router","alowed_models":[]}]"#,
                "plugins[0].alowed_models",
            ),
            (
                r#"[{"id":"auto-router","cost_quality_tradeoff":11}]"#,
                "plugins[0].cost_quality_tradeoff",
            ),
        ] {
            let failure = read(text).unwrap_err();
            assert_eq!(
                (failure.status, failure.param.as_deref()),
                (400, Some(place)),
                "{text}"
            );
        }
    }
}
