//! How good it is: scores of folders and of models, what a person changed, where the truth may be
//! wrong, and experiments, which train and score many models.

mod best_shift;
pub mod compare;
pub mod disagreement;
pub mod evaluate;
pub mod experiment;
pub mod score_model;
pub mod wrong_objects;
