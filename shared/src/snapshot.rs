//! The catalogue at one version, indexed and immutable: what a plan is made from. The same code
//! folds a change on both planes, so that applying a delta gives what a rebuild would give, root
//! included. Signatures and files are not here.

mod check;

use crate::catalog::{AutoTable, Catalog, Endpoint, Model, Provider};
use crate::id::{EndpointId, ModelId, ProviderSlug, Version};
use crate::proto::discovery as wire;
use prost::Message;
use ring::digest::{Context, SHA256, digest};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most resources that one snapshot may hold.
pub const RESOURCES_MAX: usize = 200_000;
/// The name of the table of `godwit/auto`.
pub const AUTO_NAME: &str = "router/auto";

/// One user-visible object of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// `provider/SLUG`
    Provider(Arc<Provider>),
    /// `model/AUTHOR/SLUG`
    Model(Arc<Model>),
    /// `endpoint/MODEL@TAG`
    Endpoint(Arc<Endpoint>),
    /// `router/auto`
    Auto(Arc<AutoTable>),
    /// Came over the wire and can't be read here, e.g. a dialect that this build doesn't know.
    /// Kept as it is, so that the root still counts it; never served.
    Unreadable(Arc<Unreadable>),
}

/// A resource that this build can't read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// As it came.
    pub resource: wire::Resource,
    /// What is wrong with it.
    pub reason: String,
}

/// A resource that is not served, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The resource's name.
    pub resource: String,
    /// What is wrong with it.
    pub reason: String,
}

/// An endpoint's place in one snapshot; means nothing in another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointIndex(pub u32);

/// The catalogue at one version. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    version: Version,
    root: [u8; 32],
    /// Everything that was sent, by name: served or refused.
    sent: BTreeMap<String, Sent>,
    providers: Vec<Arc<Provider>>,
    models: Vec<Arc<Model>>,
    endpoints: Vec<Arc<Endpoint>>,
    auto: Option<Arc<AutoTable>>,
    /// 0, 1, 2 …: endpoints are sorted by model, so that a model's are a slice of this.
    indexes: Vec<EndpointIndex>,
    /// The place of each endpoint's provider, by [`EndpointIndex`].
    provider_of: Vec<usize>,
    provider_at: HashMap<ProviderSlug, usize>,
    model_at: HashMap<ModelId, usize>,
    endpoint_at: HashMap<EndpointId, EndpointIndex>,
    /// Where each model's endpoints begin and end, by the model's place.
    of_model: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Sent {
    resource: Resource,
    digest: [u8; 32],
}

impl Resource {
    /// Its unique name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Provider(provider) => format!("provider/{}", provider.slug),
            Self::Model(model) => format!("model/{}", model.id),
            Self::Endpoint(endpoint) => format!("endpoint/{}", endpoint.id),
            Self::Auto(_) => AUTO_NAME.to_owned(),
            Self::Unreadable(unreadable) => unreadable.resource.name.clone(),
        }
    }

    /// SHA-256 of its encoding: what the root is made of.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let encoded = wire::Resource::from(self).encode_to_vec();
        array(digest(&SHA256, &encoded).as_ref())
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::empty()
    }
}

impl Snapshot {
    /// No resources, version 0.0.
    #[must_use]
    pub fn empty() -> Self {
        Self::build(Version::default(), BTreeMap::new()).0
    }

    /// A whole catalogue.
    ///
    /// # Errors
    /// Every resource that can't be served; a catalogue is taken as a whole or not at all.
    pub fn from_catalog(version: Version, catalog: &Catalog) -> Result<Self, Vec<Rejected>> {
        let providers = catalog.providers.iter().cloned().map(Resource::Provider);
        let models = catalog.models.iter().cloned().map(Resource::Model);
        let endpoints = catalog.endpoints.iter().cloned().map(Resource::Endpoint);
        let auto = catalog.auto.iter().cloned().map(Resource::Auto);
        let all = providers
            .chain(models)
            .chain(endpoints)
            .chain(auto)
            .collect();
        match Self::from_resources(version, all) {
            (snapshot, rejected) if rejected.is_empty() => Ok(snapshot),
            (_, rejected) => Err(rejected),
        }
    }

    /// Serves the good resources and names the bad ones: dangling references, names given twice,
    /// values beyond their limits.
    #[must_use]
    pub fn from_resources(version: Version, resources: Vec<Resource>) -> (Self, Vec<Rejected>) {
        let mut sent = BTreeMap::new();
        let mut twice = Vec::new();
        for resource in resources {
            let name = resource.name();
            if sent.contains_key(&name) {
                twice.push(Rejected {
                    resource: name,
                    reason: "named twice".to_owned(),
                });
                continue;
            }
            sent.insert(name, Sent::new(resource));
        }
        let (snapshot, mut rejected) = Self::build(version, sent);
        rejected.append(&mut twice);
        (snapshot, rejected)
    }

    /// This snapshot with a change. Resources that were refused before are looked at again: what
    /// they lacked may have come. Removals of unknown names do nothing.
    #[must_use]
    pub fn apply(
        &self,
        version: Version,
        upserts: Vec<Resource>,
        removals: &[String],
    ) -> (Self, Vec<Rejected>) {
        let mut sent = self.inner.sent.clone();
        for name in removals {
            sent.remove(name);
        }
        for resource in upserts {
            sent.insert(resource.name(), Sent::new(resource));
        }
        Self::build(version, sent)
    }

    /// What turns this snapshot into `newer`: resources to put, names to remove.
    #[must_use]
    pub fn diff(&self, newer: &Self) -> (Vec<Resource>, Vec<String>) {
        let (old, new) = (&self.inner.sent, &newer.inner.sent);
        let upserts = new
            .iter()
            .filter(|(name, now)| old.get(*name).is_none_or(|was| was.digest != now.digest))
            .map(|(_, now)| now.resource.clone())
            .collect();
        let removals = old
            .keys()
            .filter(|name| !new.contains_key(*name))
            .cloned()
            .collect();
        (upserts, removals)
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.version
    }

    /// SHA-256 over all that was sent (also what is refused here), in order of name: for each the
    /// u32 length of the name, the name, the SHA-256 of its encoding.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.inner.root
    }

    /// How many resources were sent.
    #[must_use]
    pub fn resource_count(&self) -> usize {
        self.inner.sent.len()
    }

    /// All that was sent (also what is refused here), in order of name.
    pub fn resources(&self) -> impl Iterator<Item = Resource> + '_ {
        self.inner.sent.values().map(|sent| sent.resource.clone())
    }

    /// By slug.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.inner.providers
    }

    /// The provider with this slug.
    #[must_use]
    pub fn provider(&self, slug: &str) -> Option<&Arc<Provider>> {
        let at = self.inner.provider_at.get(slug)?;
        self.inner.providers.get(*at)
    }

    /// By id.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.inner.models
    }

    /// The model with this id or, where no model has it, with this canonical slug.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&Arc<Model>> {
        let at = self.inner.model_at.get(id)?;
        self.inner.models.get(*at)
    }

    /// By (model, tag); the position is the [`EndpointIndex`].
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.inner.endpoints
    }

    /// The table of `godwit/auto`, where there is one.
    #[must_use]
    pub fn auto(&self) -> Option<&Arc<AutoTable>> {
        self.inner.auto.as_ref()
    }

    /// The endpoints of the model with this id, by tag.
    #[must_use]
    pub fn endpoints_of(&self, model: &str) -> &[EndpointIndex] {
        let found = self.model_with_endpoints(model);
        let found = found.filter(|(it, _)| it.id.as_str() == model);
        found.map(|(_, endpoints)| endpoints).unwrap_or_default()
    }

    /// As [`Snapshot::model`], and its endpoints by tag: one look-up for both.
    #[must_use]
    pub fn model_with_endpoints(&self, id: &str) -> Option<(&Arc<Model>, &[EndpointIndex])> {
        let at = *self.inner.model_at.get(id)?;
        let (start, end) = *self.inner.of_model.get(at)?;
        let endpoints = self.inner.indexes.get(start..end)?;
        Some((self.inner.models.get(at)?, endpoints))
    }

    /// The endpoint at this place.
    #[must_use]
    pub fn endpoint(&self, index: EndpointIndex) -> Option<&Arc<Endpoint>> {
        self.inner.endpoints.get(usize::try_from(index.0).ok()?)
    }

    /// Who serves the endpoint at this place.
    #[must_use]
    pub fn provider_of(&self, index: EndpointIndex) -> Option<&Arc<Provider>> {
        let at = self.inner.provider_of.get(usize::try_from(index.0).ok()?)?;
        self.inner.providers.get(*at)
    }

    /// The place of the endpoint with this id.
    #[must_use]
    pub fn index_of(&self, id: &EndpointId) -> Option<EndpointIndex> {
        self.inner.endpoint_at.get(id).copied()
    }

    fn build(version: Version, sent: BTreeMap<String, Sent>) -> (Self, Vec<Rejected>) {
        let mut inner = Inner {
            version,
            root: root_of(&sent),
            ..Inner::default()
        };
        let rejected = check::admit(&mut inner, &sent);
        inner.index();
        inner.sent = sent;
        let inner = Arc::new(inner);
        (Self { inner }, rejected)
    }
}

impl Inner {
    /// Builds the look-ups; the lists are sorted already, as names are.
    fn index(&mut self) {
        self.endpoints
            .sort_by(|a, b| (&a.model, &a.tag).cmp(&(&b.model, &b.tag)));
        for (at, provider) in self.providers.iter().enumerate() {
            self.provider_at.insert(provider.slug.clone(), at);
        }
        for (at, model) in self.models.iter().enumerate() {
            self.model_at.insert(model.id.clone(), at);
        }
        for (at, model) in self.models.iter().enumerate() {
            if let Some(alias) = model.canonical_slug.as_deref() {
                self.model_at.entry(ModelId::from(alias)).or_insert(at);
            }
        }
        self.of_model = vec![(0, 0); self.models.len()];
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            let index = EndpointIndex(u32::try_from(at).unwrap_or(u32::MAX));
            self.indexes.push(index);
            // Only endpoints whose provider is there were let in.
            let provider = self.provider_at.get(&endpoint.provider).copied();
            self.provider_of.push(provider.unwrap_or(usize::MAX));
            self.endpoint_at.insert(endpoint.id.clone(), index);
            let model = self.model_at.get(&endpoint.model).copied();
            if let Some(range) = model.and_then(|model| self.of_model.get_mut(model)) {
                let start = if range.1 == 0 { at } else { range.0 };
                *range = (start, at + 1);
            }
        }
    }
}

impl Sent {
    fn new(resource: Resource) -> Self {
        let digest = resource.digest();
        Self { resource, digest }
    }
}

fn root_of(sent: &BTreeMap<String, Sent>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for (name, sent) in sent {
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        context.update(&length.to_be_bytes());
        context.update(name.as_bytes());
        context.update(&sent.digest);
    }
    array(context.finish().as_ref())
}

fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

#[cfg(test)]
pub(crate) mod tests;
