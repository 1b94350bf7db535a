//! What was measured: by load, contestant and quantity the median, lowest and highest of the
//! repetitions, and the medians' ratios to bare Pingora.

use super::Settings;
use crate::measure::spread;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Whom ratios refer to.
const YARDSTICK: &str = "pingora";

/// One repetition's figures by quantity.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<&'static str, f64>);

impl Figures {
    pub(super) fn set(&mut self, quantity: &'static str, figure: Option<f64>) {
        if let Some(figure) = figure {
            self.0.insert(quantity, figure);
        }
    }
}

/// Everything measured.
#[derive(Debug)]
pub struct Report {
    pinned: bool,
    repeats: usize,
    window_s: f64,
    /// In the order in which they were measured first.
    loads: Vec<(String, Vec<(String, Series)>)>,
}

type Series = BTreeMap<&'static str, Vec<f64>>;

impl Report {
    pub(super) fn new(pinned: bool, settings: &Settings) -> Self {
        Self {
            pinned,
            repeats: settings.repeats,
            window_s: settings.window.as_secs_f64(),
            loads: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, load: &str, contestant: &str, figures: Figures) {
        let contestants = entry(&mut self.loads, load);
        let series = entry(contestants, contestant);
        for (quantity, figure) in figures.0 {
            series.entry(quantity).or_default().push(figure);
        }
    }

    /// As a machine reads it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut loads = Map::new();
        for (load, contestants) in &self.loads {
            let yardstick = contestants.iter().find(|(name, _)| name == YARDSTICK);
            let mut row = Map::new();
            for (name, series) in contestants {
                row.insert(
                    name.clone(),
                    figures(series, yardstick.map(|(_, series)| series)),
                );
            }
            loads.insert(load.clone(), Value::Object(row));
        }
        json!({
            "pinned": self.pinned,
            "repeats": self.repeats,
            "window_s": self.window_s,
            "yardstick": YARDSTICK,
            "loads": loads,
        })
    }

    /// As a person reads it: one line per load and contestant.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        for (load, contestants) in &self.loads {
            for (name, series) in contestants {
                let mut words = vec![format!("{load:<10} {name:<10}")];
                for (quantity, values) in series {
                    if let Some((median, low, high)) = spread(values) {
                        words.push(format!("{quantity} {median:.3} ({low:.3}-{high:.3})"));
                    }
                }
                lines.push(words.join("  "));
            }
        }
        lines.join("\n")
    }
}

fn entry<'a, T: Default>(list: &'a mut Vec<(String, T)>, name: &str) -> &'a mut T {
    let at = list.iter().position(|(known, _)| known == name);
    let at = at.unwrap_or_else(|| {
        list.push((name.to_owned(), T::default()));
        list.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "found or pushed above")]
    &mut list[at].1
}

fn figures(series: &Series, yardstick: Option<&Series>) -> Value {
    let mut row = Map::new();
    for (quantity, values) in series {
        let Some((median, low, high)) = spread(values) else {
            continue;
        };
        let mut figure = json!({"median": median, "low": low, "high": high});
        let base = yardstick.and_then(|series| spread(series.get(quantity)?));
        if let (Some((base, ..)), Some(members)) = (base, figure.as_object_mut()) {
            if base > 0.0 {
                members.insert("to_pingora".into(), (median / base).into());
            }
            if quantity.ends_with("_ms") {
                members.insert("added_to_pingora".into(), (median - base).into());
            }
        }
        row.insert((*quantity).to_owned(), figure);
    }
    Value::Object(row)
}
