//! The scope of a ledger's entries: an object is known as delivered by an input, from a queue, to some outputs.

use std::collections::BTreeSet;

use super::lock::Role;

/// A collector's queues and outputs.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub role: Role,
    /// Ids of inputs, each with its queue; one id may have several.
    pub queues: Vec<(String, String)>,
    /// The addresses of all outputs.
    pub outputs: Vec<String>,
}

impl Scope {
    /// The ids of inputs, each once.
    pub fn inputs(&self) -> BTreeSet<&str> {
        self.queues.iter().map(|(input, _)| input.as_str()).collect()
    }

    /// The queues that one input reads.
    pub fn queues_of(&self, input: &str) -> BTreeSet<&str> {
        self.queues.iter().filter(|(id, _)| id == input).map(|(_, queue)| queue.as_str()).collect()
    }

    /// All outputs as one text: the same for the same outputs.
    pub fn destinations(&self) -> String {
        let outputs: BTreeSet<&str> = self.outputs.iter().map(String::as_str).collect();
        outputs.into_iter().collect::<Vec<_>>().join("\n")
    }
}

/// The entries that count: those delivered to at least all current outputs.
#[derive(Debug, Clone)]
pub struct Ours {
    /// The number of the current outputs.
    pub id: i64,
    /// The numbers of all outputs whose entries count, for SQL.
    pub believed: String,
}

impl Default for Ours {
    /// The first outputs ever used.
    fn default() -> Ours {
        Ours { id: 0, believed: "0".to_owned() }
    }
}

impl Ours {
    /// `known` are the outputs of all entries, each with its number.
    pub fn among(known: &[(i64, String)], destinations: &str) -> Ours {
        let id = known.iter().find(|(_, text)| text == destinations).map_or(0, |(id, _)| *id);
        let believed = known.iter().filter(|(_, text)| covers(text, destinations));
        Ours { id, believed: believed.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ") }
    }
}

/// True if what was delivered to `theirs` has reached all of `ours`. See [`Scope::destinations`].
pub fn covers(theirs: &str, ours: &str) -> bool {
    let theirs: BTreeSet<&str> = theirs.lines().collect();
    ours.lines().all(|output| theirs.contains(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_to_more_outputs_counts_and_what_went_to_fewer_does_not() {
        let known =
            [(0, "a:1"), (1, "a:1\nb:2"), (2, "b:2"), (3, "")].map(|(id, text)| (id, text.to_owned()));
        let ours = |text| {
            let Ours { id, believed } = Ours::among(&known, text);
            (id, believed)
        };
        assert_eq!(ours("a:1"), (0, "0, 1".to_owned()));
        assert_eq!(ours("a:1\nb:2"), (1, "1".to_owned()));
        assert_eq!(ours("b:2"), (2, "1, 2".to_owned()));
    }

    #[test]
    fn the_order_of_outputs_does_not_matter() {
        let scope =
            |outputs: [&str; 3]| Scope { outputs: outputs.map(str::to_owned).into(), ..Scope::default() };
        assert_eq!(scope(["b", "a", "b"]).destinations(), scope(["a", "b", "a"]).destinations());
    }
}
