//! The boundary and split classes of a scheme B prediction as the lines between nuclei.
//!
//! What the network calls the inside of a nucleus is a seed; the lines around it are given to the
//! seed that is nearest. A nucleus that is all line stays whole.

use super::{Method, Part, not_negative};
use crate::components::{label, retain};
use crate::error::ObjectsError;
use crate::labels::Connectivity;
use crate::scheme::{BOUNDARY, SPLIT};
use crate::watershed::watershed;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Choices of the splitting by predicted lines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Boundary {
    /// Insides below this area are no nucleus of their own, in um2.
    pub min_inside_um2: f64,
}

impl Default for Boundary {
    fn default() -> Self {
        Self {
            min_inside_um2: 6.0,
        }
    }
}

impl Method for Boundary {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[("splitting.min_inside_um2", self.min_inside_um2)])
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let classes = part.classes()?;
        let is_line = |c: u8| c == BOUNDARY || c == SPLIT;
        let (height, width) = part.mask.size();
        let flags = part.mask.data().iter().zip(classes.data());
        let inside = flags.map(|(&m, &c)| m && !is_line(c)).collect();
        let insides = label(&Image::new(height, width, inside), Connectivity::Four).image;
        let least = self.min_inside_um2 / (part.seen.um_per_pixel * part.seen.um_per_pixel);
        let seeds = retain(&insides, |_, area| area as f64 >= least);
        if seeds.data().iter().all(|&s| s == 0) {
            return None;
        }
        // A flat surface is flooded ring by ring: every line pixel goes to the nearest seed.
        let flat = Image::filled(height, width, 0f32);
        Some(watershed(&flat, &seeds, &part.mask, Connectivity::Four))
    }
}
