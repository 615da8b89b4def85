//! The limits of a number, and the light of what lies beyond them.

use super::Light;

/// Which numbers are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Large ones: the light changes below a limit.
    More,
    /// Small ones: the light changes above a limit.
    Less,
}

/// The limits of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Which numbers are the better ones.
    pub better: Better,
    /// Beyond this the light is yellow.
    pub yellow: Option<f64>,
    /// Beyond this it is red; where the interval of a better number reaches beyond it, yellow.
    pub red: Option<f64>,
    /// Whether it is a share, which is written in per cent.
    pub is_share: bool,
}

impl Limit {
    /// `yellow below 0.80, red below 0.60`.
    pub(super) fn words(self) -> String {
        let beyond = match self.better {
            Better::More => "below",
            Better::Less => "above",
        };
        let number = |limit: f64| match (self.is_share, limit) {
            (true, _) => format!("{:.0} %", 100.0 * limit),
            (false, limit) if limit >= 1.0 || limit == 0.0 => format!("{limit:.0}"),
            (false, _) => format!("{limit:.2}"),
        };
        let of = |light: &str, limit: Option<f64>| {
            limit.map(|limit| format!("{light} {beyond} {}", number(limit)))
        };
        let lights = [of("yellow", self.yellow), of("red", self.red)];
        let lights: Vec<String> = lights.into_iter().flatten().collect();
        lights.join(", ")
    }

    /// Whether a number is worse than a limit, which itself is still on the better side.
    fn is_beyond(self, value: f64, limit: Option<f64>) -> bool {
        limit.is_some_and(|limit| match self.better {
            Better::More => value < limit,
            Better::Less => value > limit,
        })
    }

    /// The light of a number.
    pub(super) fn light(self, number: &Number) -> Light {
        let reaches = |limit| number.at_worst.is_some_and(|v| self.is_beyond(v, limit));
        match number.value {
            value if self.is_beyond(value, self.red) => Light::Red,
            value if self.is_beyond(value, self.yellow) || reaches(self.red) => Light::Yellow,
            _ => Light::Green,
        }
    }
}

/// What a rule finds.
pub(super) enum Found {
    /// A number to be held against the limits.
    Number(Number),
    /// A state that has its light.
    State(Light, String),
    /// What would be looked at is not known.
    Unknown(String),
}

/// A number with the end of its interval that is worse.
pub(super) struct Number {
    pub(super) value: f64,
    /// Where the interval ends on the worse side: beyond the limit of red it makes yellow.
    pub(super) at_worst: Option<f64>,
    pub(super) says: String,
}

impl Found {
    /// A number without an interval.
    pub(super) fn number(value: f64, says: String) -> Self {
        let at_worst = None;
        Self::Number(Number {
            value,
            at_worst,
            says,
        })
    }
}
