//! What `model.toml` calls the network.

use crate::graph::Graph;
use crate::unet::UnetSpec;
use serde::{Deserialize, Serialize};

/// The network by name. What it computes is in the graph that is stored with the weights; only a
/// model without one, as the first versions wrote it, is made from its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NetworkName {
    /// One that this version builds.
    Known(UnetSpec),
    /// One of another version, as it stands in the file.
    Other(toml::Table),
}

impl From<UnetSpec> for NetworkName {
    fn from(spec: UnetSpec) -> Self {
        Self::Known(spec)
    }
}

impl NetworkName {
    /// The network, if this version builds it.
    pub fn spec(&self) -> Option<&UnetSpec> {
        match self {
            Self::Known(spec) => Some(spec),
            Self::Other(_) => None,
        }
    }

    /// The name of its encoder.
    pub fn encoder(&self) -> String {
        match self {
            Self::Known(spec) => spec.encoder.name().to_owned(),
            Self::Other(_) => self.word("encoder"),
        }
    }

    /// The factor on its channel counts, as a number or, of another version, as it stands there.
    pub fn width(&self) -> String {
        match self {
            Self::Known(spec) => spec.width.to_string(),
            Self::Other(_) => self.word("width"),
        }
    }

    fn word(&self, key: &str) -> String {
        let value = match self {
            Self::Known(_) => None,
            Self::Other(table) => table.get(key),
        };
        value.map_or_else(
            || "unknown".to_owned(),
            |value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            },
        )
    }

    /// The graph that this version builds for it.
    ///
    /// # Errors
    /// A sentence, if it builds none.
    pub(crate) fn graph(&self) -> Result<Graph, String> {
        match self {
            Self::Known(spec) => Graph::unet(spec).map_err(|error| error.to_string()),
            Self::Other(table) => {
                let error = table.clone().try_into::<UnetSpec>().err();
                Err(error.map_or_else(String::new, |error| error.message().to_owned()))
            }
        }
    }

    /// Keys whose value this version does not understand.
    pub(crate) fn unknown_keys(&self) -> Vec<String> {
        let Self::Other(table) = self else {
            return vec![];
        };
        let any = UnetSpec::new(crate::Encoder::Vgg16, 1.0, 2);
        let any = toml::Table::try_from(&any).unwrap_or_default();
        let understood = |(key, value): (&String, &toml::Value)| {
            let mut one = any.clone();
            one.insert(key.clone(), value.clone());
            one.try_into::<UnetSpec>().is_ok()
        };
        let unknown = table.iter().filter(|&entry| !understood(entry));
        unknown.map(|(key, _)| key.clone()).collect()
    }
}
