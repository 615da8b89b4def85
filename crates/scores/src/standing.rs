//! What scored fields are to the model that predicted them.

use serde::{Deserialize, Serialize};

/// What scored fields are to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It has met none of them: neither trained nor was it chosen by them.
    Test,
    /// Fields of the validation part, which choose the model.
    Validation,
    /// Fields of the training part.
    Train,
    /// Nobody knows.
    Unknown,
}
