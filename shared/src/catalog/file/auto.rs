//! `[[auto]]`: one table to the rows of one task.

use super::section::Section;
use crate::catalog::Written;
use crate::catalog::auto::{AutoRow, CostTier, DEFAULT_TASK, ROW_MODELS_MAX};
use crate::id::ModelId;
use crate::prompt::{self, Task};

/// What one table says.
pub(super) struct Draft {
    /// The task, when it is one.
    pub(super) task: Option<String>,
    /// The classifier's version: only in the default's table.
    pub(super) classifier: Option<u16>,
    /// By tier.
    pub(super) rows: Vec<AutoRow>,
}

/// Reads the rows of a task.
pub(super) fn read(mut section: Section<'_, '_>) -> Draft {
    section.require("task");
    let form = "a task of the classifier, or default";
    let known = |text: &str| text == DEFAULT_TASK || Task::parse(text).is_some();
    let task = section.formed("task", known, form);
    let version = u64::from(prompt::VERSION);
    let classifier = section.integer("classifier", version..=version);
    let is_default = task.as_deref() == Some(DEFAULT_TASK);
    if is_default {
        section.require("classifier");
    } else if task.is_some() && classifier.is_some() {
        section.refuse("classifier", "only the default's table says it");
    }
    let rows = rows(&mut section, task.as_deref().unwrap_or_default());
    section.finish();
    Draft {
        task,
        classifier: classifier.and_then(|version| u16::try_from(version).ok()),
        rows,
    }
}

fn rows(section: &mut Section<'_, '_>, task: &str) -> Vec<AutoRow> {
    let mut rows = Vec::new();
    for tier in CostTier::VALUES {
        let models = section.texts(tier.as_str());
        if models.len() > ROW_MODELS_MAX {
            let reason = format!("more than {ROW_MODELS_MAX} models");
            section.refuse(tier.as_str(), reason);
        }
        if !models.is_empty() {
            rows.push(AutoRow {
                task: task.to_owned(),
                tier: *tier,
                models: models.into_iter().map(ModelId::from).collect(),
            });
        }
    }
    if rows.is_empty() {
        section.refuse("low", "no models for any tier");
    }
    rows
}
