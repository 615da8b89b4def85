//! A shift by which truth is moved back.

use serde::Serialize;

/// A shift of truth against the brightfield that is to be corrected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Move {
    pub(crate) dy_px: f64,
    pub(crate) dx_px: f64,
    pub(crate) radius95_px: Option<f64>,
}

impl Move {
    /// Whether it is known more exactly than another.
    pub(crate) fn is_surer(&self, other: &Self) -> bool {
        let radius = |shift: &Self| shift.radius95_px.unwrap_or(f64::INFINITY);
        radius(self) < radius(other)
    }

    /// The same for what cannot be interpolated; none where it stays where it is.
    pub(crate) fn in_whole_pixels(self) -> Option<Self> {
        // No negative zero: it would be another text in a field's key.
        let whole = |px: f64| px.round() + 0.0;
        let (dy_px, dx_px) = (whole(self.dy_px), whole(self.dx_px));
        let moves = (dy_px, dx_px) != (0.0, 0.0);
        moves.then_some(Self {
            dy_px,
            dx_px,
            ..self
        })
    }
}
