//! What did the user probably mean? The nearest known name for one that is not known.

use supd_api::{Fault, FaultCode, WorkerView};

use super::client::Client;

/// Below this similarity (0 to 1) a name is another name, not a misspelt one: two letters swapped in a name of
/// three are still a slip.
const ALIKE: f64 = 0.6;

/// The result as it is, but a target that was not found gets the nearest known name as its hint.
pub(crate) async fn nearest<T>(
    client: &Client,
    targets: &[String],
    result: Result<T, Fault>,
) -> Result<T, Fault> {
    match result {
        Err(fault) if fault.code == FaultCode::NotFound && fault.hint.is_none() => {
            let workers = client.get::<Vec<WorkerView>>("/v1/workers").await.unwrap_or_default();
            let known: Vec<&str> = workers.iter().map(|worker| worker.app.as_str()).collect();
            Err(fault.hint(hint(targets, &known)))
        }
        settled => settled,
    }
}

/// `did you mean …?` with the known name that is most like the word, if one is.
pub(crate) fn similar(word: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(word, name), *name))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

fn hint(targets: &[String], known: &[&str]) -> String {
    let unknown = targets.iter().filter(|target| !known.contains(&target.as_str()));
    match unknown.filter_map(|target| similar(target, known)).next() {
        Some(question) => question,
        None if known.is_empty() => "nothing is running: `supctl start` starts something".to_owned(),
        None => "`supctl list` shows what there is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        let targets = |name: &str| [name.to_owned()];
        assert_eq!(hint(&targets("wbe"), &["api", "web"]), "did you mean `web`?");
        assert_eq!(hint(&targets("database"), &["api", "web"]), "`supctl list` shows what there is");
        assert_eq!(hint(&targets("x"), &[]), "nothing is running: `supctl start` starts something");
    }
}
