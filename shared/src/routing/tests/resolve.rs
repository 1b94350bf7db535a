//! From names to models: suggestions, and what a model must give.

use super::*;

#[test]
fn an_unknown_model_gets_suggestions() {
    let mut catalog = catalog(1, 2, 1);
    for (at, id) in ["openai/gpt-4o-mini", "meta-llama/llama-3.3-70b-instruct"]
        .iter()
        .enumerate()
    {
        Arc::make_mut(&mut catalog.models[at]).id = (*id).into();
        let endpoint = Arc::make_mut(&mut catalog.endpoints[at]);
        endpoint.model = (*id).into();
        endpoint.id = EndpointId::of(&endpoint.model, &endpoint.tag);
    }
    let view = view_of(&catalog, vec![]);
    for (asked, expect) in [
        ("gpt-4o-mini", vec!["openai/gpt-4o-mini"]),
        ("openai/gpt-4o-mni", vec!["openai/gpt-4o-mini"]),
        ("llama-3.3-70b", vec!["meta-llama/llama-3.3-70b-instruct"]),
        ("openai/gpt-4o-mini:online", vec!["openai/gpt-4o-mini"]),
        ("zzz", vec![]),
        ("", vec![]),
    ] {
        let mut demand = demand();
        demand.model = asked.to_owned();
        let Err(Refusal::ModelNotFound { model, nearest }) = plan_of(&view, &demand, 1) else {
            panic!("{asked} was found");
        };
        assert_eq!(
            (model.as_str(), nearest),
            (asked, expect.into_iter().map(String::from).collect())
        );
    }
    let mut demand = demand();
    demand.fallback_models = vec!["openai/gpt-4o-mini:floor".to_owned()];
    assert_eq!(plan_of(&view, &demand, 1).unwrap().candidates.len(), 1);
}

#[test]
fn a_model_must_give_what_is_asked_for() {
    let mut catalog = catalog(1, 2, 1);
    Arc::make_mut(&mut catalog.models[0]).output_modalities = vec![Modality::Embeddings];
    let view = view_of(&catalog, vec![]);
    let mut demand = demand();
    assert!(plan_of(&view, &demand, 1).is_ok());
    demand.output = vec![Modality::Text, Modality::Image];
    let wrong = Refusal::WrongOutput {
        model: demand.model.as_str().into(),
        gives: vec![Modality::Embeddings],
    };
    assert_eq!(plan_of(&view, &demand, 1), Err(wrong));
    demand.fallback_models = vec!["m1/x".to_owned()];
    let plan = plan_of(&view, &demand, 1).unwrap();
    assert!(
        plan.candidates
            .iter()
            .all(|c| c.endpoint.model.as_str() == "m1/x")
    );
    demand.output = vec![Modality::Embeddings];
    let plan = plan_of(&view, &demand, 1).unwrap();
    assert!(
        plan.candidates
            .iter()
            .all(|c| c.endpoint.model.as_str() == "m0/x")
    );
}
