//! What a family of scores tells the list of all numbers.

/// A named score of summed counts of one kind: name, value (NaN where undefined), why it would be.
pub(crate) type Named<Counts> = (&'static str, fn(&Counts) -> f64, &'static str);
