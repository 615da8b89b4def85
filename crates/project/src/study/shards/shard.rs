//! Which of how many.

use std::fmt;
use std::str::FromStr;

/// One of `count` equal shares of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Most shares: more than any cluster has nodes, and few enough for a table each.
    pub const MOST: usize = 100_000;

    /// The shard `index` of `count`, from 1.
    ///
    /// # Errors
    /// A sentence, where there is no such shard.
    pub fn new(index: usize, count: usize) -> Result<Self, String> {
        if !(1..=Self::MOST).contains(&count) {
            return Err(format!(
                "there are 1 to {} shards, not {count}: give one such as `3/8`",
                Self::MOST
            ));
        }
        match (1..=count).contains(&index) {
            true => Ok(Self { index, count }),
            false => Err(format!(
                "shards are counted from 1, so give `1/{count}` to `{count}/{count}`"
            )),
        }
    }

    /// Which one, from 1.
    pub fn index(self) -> usize {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> usize {
        self.count
    }

    /// The shard of the unit that stands at `place` (from 0) of the sorted list: neighbours, which
    /// take equally long, go to different ones.
    pub(crate) fn at(place: usize, count: usize) -> usize {
        place % count + 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let Some((index, count)) = numbers else {
            return Err("give a number and a count such as `3/8`, or `auto`".to_owned());
        };
        Self::new(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one_to_their_number() {
        assert_eq!("3/8".parse(), Shard::new(3, 8));
        assert_eq!("8/8".parse::<Shard>().unwrap().to_string(), "8/8");
        for wrong in ["0/4", "5/4", "1/0", "0/0", "1/100001"] {
            let said = wrong.parse::<Shard>().unwrap_err();
            assert!(said.contains("shards"), "{wrong}: {said}");
        }
        for wrong in ["", "3", "a/b", "1/2/3", "-1/4", "1.5/4", " 1/4", "1/"] {
            let said = wrong.parse::<Shard>().unwrap_err();
            assert!(said.starts_with("give a number"), "{wrong}: {said}");
        }
    }

    #[test]
    fn every_unit_has_one_shard_and_shards_differ_by_one_unit_at_most() {
        for (units, count) in [(0, 3), (2, 5), (7, 3), (384, 7)] {
            let mut sizes = vec![0usize; count];
            for place in 0..units {
                sizes[Shard::at(place, count) - 1] += 1;
            }
            assert_eq!(sizes.iter().sum::<usize>(), units);
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{sizes:?}");
        }
    }
}
