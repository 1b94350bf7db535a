//! The records of all files together: ids are unique, references resolve, every model can be
//! reached.

use super::section::{Section, Sheet};
use super::{Problem, auto, endpoint, model, provider};
use crate::catalog::auto::{AutoRow, AutoTable, DEFAULT_TASK};
use crate::catalog::{Catalog, Endpoint, Model, Provider};
use crate::id::{ModelId, ProviderSlug};
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::de::DeTable;

/// Where a record stands.
#[derive(Clone)]
struct Place {
    file: String,
    line: u32,
}

/// What was read so far, in file order.
#[derive(Default)]
pub(super) struct Gathered {
    /// Some file is no TOML, so that a missing reference says nothing.
    pub(super) broken: bool,
    providers: Vec<(Place, Option<ProviderSlug>, Option<Provider>)>,
    models: Vec<(Place, Option<ModelId>, Option<Model>)>,
    endpoints: Vec<(Place, endpoint::Draft)>,
    auto: Vec<(Place, auto::Draft)>,
}

impl Gathered {
    /// Reads one document; its problems go to the sheet.
    pub(super) fn read(&mut self, sheet: &Sheet<'_>, document: &DeTable<'_>) {
        let mut document = Section::document(sheet, document);
        for section in document.sections("providers") {
            let place = Place::of(&section);
            let (slug, provider) = provider::read(section);
            self.providers.push((place, slug, provider));
        }
        for section in document.sections("models") {
            let place = Place::of(&section);
            let (id, model) = model::read(section);
            self.models.push((place, id, model));
        }
        for section in document.sections("endpoints") {
            let place = Place::of(&section);
            self.endpoints.push((place, endpoint::read(section)));
        }
        for section in document.sections("auto") {
            let place = Place::of(&section);
            self.auto.push((place, auto::read(section)));
        }
        document.finish();
    }

    /// The catalogue of all records that are whole; what contradicts is added to `problems`.
    pub(super) fn merge(self, problems: &mut Vec<Problem>) -> Catalog {
        let mut declared = Declared::default();
        let mut catalog = Catalog::default();
        for (place, slug, provider) in self.providers {
            declared.provider(&place, slug, problems);
            catalog.providers.extend(provider.map(Arc::new));
        }
        for (place, id, model) in self.models {
            let context = model.as_ref().map_or(0, |model| model.context_length);
            declared.model(&place, id, context, problems);
            catalog.models.extend(model.map(Arc::new));
        }
        for (place, draft) in self.endpoints {
            let endpoint = declared.endpoint(&place, draft, self.broken, problems);
            catalog.endpoints.extend(endpoint.map(Arc::new));
        }
        catalog.auto = declared.auto(self.auto, self.broken, problems);
        if !self.broken {
            declared.unroutable(problems);
        }
        catalog.providers.sort_by(|a, b| a.slug.cmp(&b.slug));
        catalog.models.sort_by(|a, b| a.id.cmp(&b.id));
        catalog
            .endpoints
            .sort_by(|a, b| (&a.model, &a.tag).cmp(&(&b.model, &b.tag)));
        catalog
    }
}

/// What was declared so far, and where.
#[derive(Default)]
struct Declared {
    providers: BTreeMap<ProviderSlug, Place>,
    models: BTreeMap<ModelId, KnownModel>,
    endpoints: BTreeMap<(ModelId, String), Place>,
}

struct KnownModel {
    place: Place,
    context_length: u64,
    /// Some endpoint names it.
    served: bool,
}

impl Declared {
    fn provider(&mut self, place: &Place, slug: Option<ProviderSlug>, problems: &mut Vec<Problem>) {
        let Some(slug) = slug else { return };
        if let Some(first) = self.providers.get(&slug) {
            problems.push(place.twice("providers.slug", slug.as_str(), first));
            return;
        }
        self.providers.insert(slug, place.clone());
    }

    fn model(
        &mut self,
        place: &Place,
        id: Option<ModelId>,
        context_length: u64,
        problems: &mut Vec<Problem>,
    ) {
        let Some(id) = id else { return };
        if let Some(first) = self.models.get(&id) {
            problems.push(place.twice("models.id", id.as_str(), &first.place));
            return;
        }
        let known = KnownModel {
            place: place.clone(),
            context_length,
            served: false,
        };
        self.models.insert(id, known);
    }

    fn endpoint(
        &mut self,
        place: &Place,
        draft: endpoint::Draft,
        broken: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<Endpoint> {
        let unknown = |what: &str, name: &str| format!("no such {what}: {name:?}");
        if let Some(slug) = &draft.provider
            && !broken
            && !self.providers.contains_key(slug)
        {
            let reason = unknown("provider", slug.as_str());
            problems.push(place.problem("endpoints.provider", reason));
        }
        let id = draft.model?;
        let Some(model) = self.models.get_mut(&id) else {
            if !broken {
                let reason = unknown("model", id.as_str());
                problems.push(place.problem("endpoints.model", reason));
            }
            return None;
        };
        model.served = true;
        let mut endpoint = draft.endpoint?;
        if endpoint.context_length == 0 {
            endpoint.context_length = model.context_length;
        }
        let name = (id, endpoint.tag.clone());
        if let Some(first) = self.endpoints.get(&name) {
            let what = endpoint.id.to_string();
            problems.push(place.twice("endpoints.tag", &what, first));
            return None;
        }
        self.endpoints.insert(name, place.clone());
        if endpoint.context_length > 0
            && let Some((key, reason)) = endpoint::beyond_context(&endpoint)
        {
            problems.push(place.problem(&format!("endpoints.{key}"), reason));
        }
        Some(endpoint)
    }

    /// The table of all tasks; none without any.
    fn auto(
        &self,
        drafts: Vec<(Place, auto::Draft)>,
        broken: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<AutoTable>> {
        let first = drafts.first()?.0.clone();
        let mut seen: BTreeMap<String, Place> = BTreeMap::new();
        let mut table = AutoTable::default();
        for (place, draft) in drafts {
            let Some(task) = draft.task else { continue };
            if let Some(first) = seen.get(&task) {
                problems.push(place.twice("auto.task", &task, first));
                continue;
            }
            let models = draft.rows.iter().flat_map(|row| &row.models);
            for model in models.filter(|id| !broken && !self.models.contains_key(*id)) {
                problems
                    .push(place.problem("auto", format!("no such model: {:?}", model.as_str())));
            }
            table.classifier = draft.classifier.unwrap_or(table.classifier);
            table.rows.extend(draft.rows);
            seen.insert(task, place);
        }
        if !seen.contains_key(DEFAULT_TASK) {
            problems
                .push(first.problem("auto.task", format!("no table of the task {DEFAULT_TASK}")));
        }
        let by_name = |row: &AutoRow| (row.task.clone(), row.tier);
        table.rows.sort_by_key(by_name);
        Some(Arc::new(table))
    }

    fn unroutable(&self, problems: &mut Vec<Problem>) {
        for (id, model) in self.models.iter().filter(|(_, model)| !model.served) {
            let reason = format!("no endpoint serves {id}");
            problems.push(model.place.problem("models.id", reason));
        }
    }
}

impl Place {
    fn of(section: &Section<'_, '_>) -> Self {
        Self {
            file: section.file().to_owned(),
            line: section.line(),
        }
    }

    fn problem(&self, key: &str, reason: String) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line,
            key: key.to_owned(),
            reason,
        }
    }

    fn twice(&self, key: &str, what: &str, first: &Self) -> Problem {
        let reason = format!("{what} is already at {}:{}", first.file, first.line);
        self.problem(key, reason)
    }
}
