//! Whether a layer can be the head of a recurrent network, by its shape and by its name.

use crate::error::quoted;

/// Words of a name that show that a layer stands in front of the recurrent layers or next to them.
const ELSEWHERE: &str = "attention attn att bn bridge bypass c0 conv emb embed embedder embedding embeddings enc \
                    encode encoder feature features front frontend gate h0 i2h i2o in init inp input inputs key \
                    ln lookup norm pos positional pre prenet preprocess preprocessing query res resid residual \
                    shortcut skip stem token tokens x x2h";

/// Words of a name that show that a layer is the head.
const HEAD: &str = "classifier classify dec decode decoder dense fc final forecast forecaster h2o head heads \
                    last lin linear logits mean mu out output outputs pred predict prediction predictions \
                    predictor quantiles readout regress regression regressor target y";

/// What a layer is in a network, as far as shape and name show it.
#[derive(Debug, PartialEq)]
pub(super) enum Role {
    /// The head.
    Head,
    /// Another layer; with the reason.
    Other(String),
    /// It may be the head or another layer.
    Unclear,
}

impl Role {
    /// The role of a layer with a weight of these `dims` and this `prefix`, in a file with a recurrent network with
    /// `input` and `hidden` units whose tensors have the prefix `recurrent`.
    ///
    /// Only a weight with as many columns as there are units fits behind the network. If it fits in front of it or
    /// beside it as well, the name has to say that it is the head. A name that says otherwise always counts, because a
    /// layer that is wrongly taken for the head gives wrong predictions without a word.
    pub fn of(prefix: &str, dims: &[usize], recurrent: &str, [input, hidden]: [usize; 2]) -> Self {
        let (rows, columns) = match *dims {
            [rows, columns] => (rows, columns),
            [_] => {
                return Self::Other("that is a normalisation (LayerNorm, BatchNorm) or an activation (PReLU)".into());
            }
            [_, _, ..] => return Self::Other("that is a convolution".into()),
            [] => return Self::Other("that is no linear layer".into()),
        };
        if columns != hidden {
            return Self::Other(format!(
                "a head behind {hidden} units has {hidden} columns, so it looks like a layer in front of the network \
                 or beside it"
            ));
        }
        match Place::of(prefix, recurrent) {
            Place::Behind => Self::Head,
            Place::Elsewhere(word) => Self::Other(format!(
                "{word} in its name says that it stands in front of the network or beside it; if it is the head, say \
                 so with --head"
            )),
            Place::Unknown if rows == input || columns == input => Self::Unclear,
            Place::Unknown => Self::Head,
        }
    }
}

/// Where a layer stands, according to its name.
enum Place {
    Behind,
    /// In front of the recurrent layers or next to them; with the word that says so.
    Elsewhere(String),
    Unknown,
}

impl Place {
    /// Only the part of the name counts that the layer does not share with the recurrent tensors: in a file with
    /// `encoder.rnn.weight_ih_l0`, `encoder.fc` is just `fc`.
    fn of(prefix: &str, recurrent: &str) -> Self {
        let (mut own, mut other) = (path(prefix).peekable(), path(recurrent).peekable());
        while own.peek().is_some() && own.peek() == other.peek() {
            own.next();
            other.next();
        }
        let number = |part: Option<&&str>| part.and_then(|part| part.parse::<usize>().ok());
        let order = number(own.peek()).zip(number(other.peek()));
        let mut behind = false;
        for word in own.flat_map(words) {
            if is_elsewhere(&word) {
                return Self::Elsewhere(quoted(&word));
            }
            behind |= is_head(&word);
        }
        match order {
            // the places in an nn.Sequential or nn.ModuleList
            Some((own, recurrent)) if own < recurrent => Self::Elsewhere(format!("its place {own} before {recurrent}")),
            Some(_) => Self::Behind,
            None if behind => Self::Behind,
            None => Self::Unknown,
        }
    }
}

fn is_head(word: &str) -> bool {
    has(HEAD, without_number(word))
}

fn is_elsewhere(word: &str) -> bool {
    let bare = without_number(word);
    // inproj, prefc, xproj
    let joined = ["in", "input", "pre", "x"].iter().filter_map(|before| bare.strip_prefix(before));
    let of_layer = |rest: &str| has(HEAD, rest) || matches!(rest, "proj" | "projection" | "layer" | "map");
    has(ELSEWHERE, word) || has(ELSEWHERE, bare) || joined.into_iter().any(of_layer)
}

fn has(list: &str, word: &str) -> bool {
    list.split(' ').any(|one| one == word)
}

fn without_number(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The parts of a prefix between its dots.
fn path(prefix: &str) -> impl Iterator<Item = &str> {
    prefix.split('.').filter(|part| !part.is_empty())
}

/// The words of one part of a name, in lower case: `input_proj`, `input-proj` and `inputProj` have two. They are not
/// collected, because a damaged file may have a name of millions of words.
fn words(part: &str) -> impl Iterator<Item = String> {
    part.split(|c: char| !c.is_alphanumeric()).flat_map(|mut rest| {
        std::iter::from_fn(move || {
            let mut pairs = rest.char_indices().zip(rest.chars().skip(1));
            let last = pairs.find(|((_, c), next)| !c.is_uppercase() && next.is_uppercase());
            let (word, after) = rest.split_at(last.map_or(rest.len(), |((at, c), _)| at + c.len_utf8()));
            rest = after;
            (!word.is_empty()).then(|| word.to_lowercase())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        for (part, expected) in [
            ("fc", vec!["fc"]),
            ("input_proj", vec!["input", "proj"]),
            ("inputProj2", vec!["input", "proj2"]),
            ("outFC", vec!["out", "fc"]),
            ("FC-out", vec!["fc", "out"]),
            ("__", vec![]),
        ] {
            assert_eq!(words(part).collect::<Vec<_>>(), expected, "{part}");
        }
    }

    /// The shapes fit in front as well as behind (2 inputs, 2 units), so the name decides.
    #[test]
    fn where_a_layer_could_stand_on_both_sides_its_name_decides() {
        let taken = |prefix: &str, recurrent: &str| Role::of(prefix, &[2, 2], recurrent, [2, 2]) == Role::Head;
        let heads = "fc. head. out. output. linear. dense. decoder. predict. predictor. fc_out. out_proj. \
            output_projection. fc1. linear2. module.fc. lstm.fc. FC. outputLayer. h2o. readout.0.";
        for head in heads.split(' ') {
            assert!(taken(head, "rnn.") && taken(&format!("net.{head}"), "net.rnn."), "{head}");
        }
        let others = "proj. inproj. in_proj. input. input_layer. linear_in. inputLinear. fc_in. embed. embedding. emb. \
            enc. encoder.fc. pre. prefc. pre_fc. skip. skip_fc. residual.out. attn.out_proj. layer. l1. a.b.c. \
            init_h. x_proj. h0_linear. in1. bias.";
        for other in others.split(' ').chain([""]) {
            assert!(!taken(other, "rnn.") && (!taken(&format!("net.{other}"), "net.rnn.")), "{other}");
        }
        // what is shared with the recurrent tensors says nothing
        assert!(taken("encoder.fc.", "encoder.rnn.") && !taken("encoder.", "encoder.rnn."));
        // places in a sequence
        assert!(taken("1.", "0.") && taken("net.3.", "net.1.rnn.") && !taken("0.", "1.") && !taken("net.0.", "net.1."));
        assert!(!taken("1.embed.", "0."));
    }

    #[test]
    fn where_a_layer_only_fits_behind_it_needs_no_name_but_may_not_have_a_wrong_one() {
        let taken = |prefix: &str| Role::of(prefix, &[4, 3], "rnn.", [2, 3]) == Role::Head;
        for name in ["fc.", "l1.", "", "net.2.", "proj.", "a.b."] {
            assert!(taken(name), "{name}");
        }
        for name in ["embed.", "input_fc.", "skip.", "encoder."] {
            assert!(!taken(name), "{name}");
        }
        // as many inputs as units: a layer beside the network, from x to y, has this shape as well
        assert_eq!(Role::of("l1.", &[4, 3], "rnn.", [3, 3]), Role::Unclear);
        assert_eq!(Role::of("fc.", &[4, 3], "rnn.", [3, 3]), Role::Head);
        // whatever the name is, it must fit
        for dims in [&[3, 4][..], &[3], &[], &[4, 3, 1], &[4, 2]] {
            assert!(matches!(Role::of("fc.", dims, "rnn.", [2, 3]), Role::Other(_)), "{dims:?}");
        }
    }
}
