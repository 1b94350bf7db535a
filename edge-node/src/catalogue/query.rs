//! The query of `GET /models`: filters and orders, each read or refused by name. What would need
//! popularity, categories or benchmarks is refused, because nothing here knows them.

use crate::failure::Failure;
use crate::ingress::preferences::price;
use shared::catalog::listing::Filter;
use shared::catalog::listing::choice::{Choice, Sort};
use shared::catalog::{DataRegion, Modality};
use shared::money::Price;
use std::borrow::Cow;

/// Parameters of OpenRouter's that there are no facts for.
const WITHOUT_FACTS: [&str; 3] = ["category", "use_rss", "use_rss_chat_links"];
/// Beginnings of such.
const MEASURES: [&str; 2] = ["min_", "max_"];
/// Parameters that are no filters: pages.
const PAGES: [&str; 2] = ["offset", "limit"];
const SECONDS_PER_DAY: u64 = 86_400;

/// Reads the query; `now` is in seconds since 1970.
///
/// # Errors
/// 400 for a value that can't be read, and for what there are no facts for.
pub(super) fn filter(query: &str, now: u64) -> Result<Filter, Failure> {
    let mut filter = Filter::default();
    for (name, raw) in pairs(query) {
        let value = &*decoded(raw);
        if !known(&mut filter, name, value)? && !bound(&mut filter.choice, name, value, now)? {
            let measures = MEASURES.iter().any(|start| name.starts_with(start));
            if measures || WITHOUT_FACTS.contains(&name) {
                let text = format!("the filter {name} is not available: there is no data for it");
                return Err(Failure::invalid(name, text));
            }
            // OpenRouter ignores what it does not know.
            continue;
        }
        if !PAGES.contains(&name) {
            filter.written.push_str(&format!("{name}={raw}&"));
        }
    }
    Ok(filter)
}

/// Content, names and pages; false for another parameter.
fn known(filter: &mut Filter, name: &str, value: &str) -> Result<bool, Failure> {
    match name {
        "output_modalities" if value == "all" => filter.any_output = true,
        "output_modalities" => filter.output = modalities(name, value)?,
        "input_modalities" => filter.input = modalities(name, value)?,
        "supported_parameters" => filter.parameters = words(value),
        "q" => filter.text = value.to_lowercase(),
        "offset" => filter.offset = Some(number(name, value)?),
        "limit" => filter.limit = Some(number(name, value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Bounds and the order; false for another parameter.
fn bound(choice: &mut Choice, name: &str, value: &str, now: u64) -> Result<bool, Failure> {
    let ago = |days: u64| Some(now.saturating_sub(days.saturating_mul(SECONDS_PER_DAY)));
    match name {
        "context" => choice.context = Some(number(name, value)?),
        "min_price" => choice.prompt.0 = Some(per_million(name, value)?),
        "max_price" => choice.prompt.1 = Some(per_million(name, value)?),
        "min_output_price" => choice.completion.0 = Some(per_million(name, value)?),
        "max_output_price" => choice.completion.1 = Some(per_million(name, value)?),
        "arch" => choice.tokenizer = Some(value.to_owned()),
        "model_authors" => choice.authors = words(value),
        "providers" => choice.providers = words(value),
        "distillable" => choice.distillable = Some(flag(name, value)?),
        "zdr" => choice.zdr = flag(name, value)?,
        "region" => {
            let region = DataRegion::parse(value);
            choice.region = Some(region.ok_or_else(|| one_of(name, "eu, us"))?);
        }
        "max_age_days" => choice.created.0 = ago(number(name, value)?),
        "min_age_days" => choice.created.1 = ago(number(name, value)?),
        "sort" => choice.sort = Some(sort(value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn sort(value: &str) -> Result<Sort, Failure> {
    Sort::parse(value).ok_or_else(|| {
        let known: Vec<&str> = Sort::ALL.iter().map(|it| it.as_str()).collect();
        one_of(
            "sort",
            &format!("{} (there is no data for others)", known.join(", ")),
        )
    })
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// Without `+` and `%XX`. What is no escape stays as it is.
fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    let mut rest = raw.as_bytes();
    let mut text = Vec::with_capacity(raw.len());
    while let Some((byte, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|_| *byte == b'%');
        let pair = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        let meant = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        text.push(match (meant, byte) {
            (Some(meant), _) => meant,
            (None, b'+') => b' ',
            (None, byte) => *byte,
        });
        let skipped = if meant.is_some() { 2 } else { 0 };
        rest = after.get(skipped..).unwrap_or_default();
    }
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

fn words(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

fn modalities(name: &str, value: &str) -> Result<Vec<Modality>, Failure> {
    let read = |word: &str| {
        let text = || format!("{name}: unknown modality {word:?}");
        Modality::parse(word).ok_or_else(|| Failure::invalid(name, text()))
    };
    value.split(',').map(read).collect()
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Failure> {
    value
        .parse()
        .map_err(|_| Failure::invalid(name, format!("{name}: a whole number is expected")))
}

/// USD per million tokens.
fn per_million(name: &str, value: &str) -> Result<Price, Failure> {
    price(value, true).map_err(|why| {
        let text = format!("{name} must be a price in USD per million tokens: {why}");
        Failure::invalid(name, text)
    })
}

fn flag(name: &str, value: &str) -> Result<bool, Failure> {
    value.parse().map_err(|_| one_of(name, "true, false"))
}

fn one_of(name: &str, known: &str) -> Failure {
    Failure::invalid(name, format!("{name} must be one of {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    #[test]
    fn filters_are_read_or_refused_by_name() {
        let read = filter("output_modalities=text%2Cimage&limit=10&nothing=1", NOW).unwrap();
        assert_eq!(read.output, [Modality::Text, Modality::Image]);
        assert_eq!(read.limit, Some(10));
        assert_eq!(read.written, "output_modalities=text%2Cimage&");
        assert!(filter("", NOW).unwrap().is_default());
        assert_eq!(filter("q=a+b%20c%zz", NOW).unwrap().text, "a b c%zz");
        for (query, param) in [
            ("limit=x", "limit"),
            ("sort=most-popular", "sort"),
            ("category=legal", "category"),
            ("min_coding_index=3", "min_coding_index"),
            ("max_price=cheap", "max_price"),
            ("region=mars", "region"),
            ("zdr=yes", "zdr"),
            ("input_modalities=smell", "input_modalities"),
        ] {
            let refused = filter(query, NOW).unwrap_err();
            assert_eq!(
                (refused.status, refused.param.as_deref()),
                (400, Some(param))
            );
        }
    }

    #[test]
    fn bounds_and_orders_are_read() {
        let query = "sort=newest&max_price=0.5&context=32000&model_authors=openai,meta-llama\
            &zdr=true&distillable=false&region=eu&max_age_days=2&min_output_price=1e-1&arch=GPT";
        let choice = filter(query, NOW).unwrap().choice;
        assert_eq!(choice.sort, Some(Sort::Newest));
        assert_eq!(choice.prompt.1.unwrap().to_string(), "0.0000005");
        assert_eq!(choice.completion.0.unwrap().to_string(), "0.0000001");
        assert_eq!(choice.context, Some(32_000));
        assert_eq!(choice.authors, ["openai", "meta-llama"]);
        assert!(choice.zdr && choice.distillable == Some(false));
        assert_eq!(choice.region, Some(DataRegion::Eu));
        assert_eq!(choice.created, (Some(NOW - 172_800), None));
        assert_eq!(choice.tokenizer.as_deref(), Some("GPT"));
    }
}
