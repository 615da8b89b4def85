//! Which cells lie where: shapes, clusters, cell cycle. No pixels yet.

use crate::noise::Noise;
use crate::outline::{Outline, Wobble, ellipse};
use crate::rng::{Key, Purpose, Stream};
use crate::spec::PlateSpec;

/// A nucleolus (or another compact body) inside a nucleus, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nucleolus {
    pub(crate) y: f32,
    pub(crate) x: f32,
    pub(crate) sigma: f32,
}

/// One cell with everything that does not depend on its neighbours.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Outline of the nucleus, in mitosis of the condensed chromosomes.
    pub(crate) nucleus: Outline,
    /// Outline of the body before neighbours claim their share.
    pub(crate) body: Outline,
    pub(crate) mitotic: bool,
    pub(crate) nucleoli: Vec<Nucleolus>,
    /// Nuclear stain per area, 1 in a typical G1 nucleus.
    pub(crate) dna: f32,
    /// Mitochondrial stain, 1 in a typical cell.
    pub(crate) mitochondria: f32,
    /// Height in um of the body above the nucleus and of the flat rim.
    pub(crate) dome_um: f32,
    pub(crate) rim_um: f32,
    /// Width in um over which the height falls to zero at a free edge.
    pub(crate) edge_um: f32,
    /// Thickness of the nucleus in um.
    pub(crate) nucleus_um: f32,
    /// Refractive index of the nucleus minus that of the cytoplasm.
    pub(crate) nucleus_index: f32,
    /// Mean number of refractile granules.
    pub(crate) granules: f32,
}

/// Mean area of a spread cell in um^2: about 30 um across, with a nucleus of 12 to 18 um.
const CELL_AREA_UM2: f32 = 620.0;
/// How far in um outside the drawn square cells may still have their centre.
const OUTSIDE_UM: f32 = 20.0;

/// The cells of a field on a drawing square of `side` pixels (field and margin).
pub(crate) fn populate(spec: &PlateSpec, key: Key, side: usize) -> Vec<Cell> {
    let px = 1.0 / spec.pixel_um as f32;
    let outside = OUTSIDE_UM * px;
    let extent = side as f32 + 2.0 * outside;
    let area_um2 = (extent / px) * (extent / px);
    let confluence = spec.confluence as f32;
    // Randomly strewn bodies cover 1 - exp(-density); nuclei keep apart, so fewer are needed. The
    // limit leaves the nuclei room to lie side by side; bodies then spread to fill the rest.
    let density = (-0.85 * (1.0 - confluence).ln()).min(1.5);
    let wanted = (density * area_um2 / CELL_AREA_UM2).round().max(1.0) as usize;

    let mut stream = key.purpose(Purpose::Positions).stream();
    // Cells settle and divide in islands of about 150 um.
    let islands = Noise::new(key.purpose(Purpose::Positions).with(1), side, 75.0 * px);
    let mut cells: Vec<Cell> = Vec::with_capacity(wanted);
    let mut attempts = 0;
    // Rounded cells need the most room: placed last, they would become rarer than wanted.
    let share = spec.mitotic_share as f32;
    let dividing = (0..wanted).filter(|_| stream.chance(share)).count();
    while cells.len() < wanted && attempts < 40 * wanted {
        attempts += 1;
        let mitotic = cells.len() < dividing;
        let mut shape = key.purpose(Purpose::Cell).with(attempts as u64).stream();
        let cell = if mitotic {
            Cell::mitotic(&mut shape, px)
        } else {
            Cell::spread(&mut shape, px)
        };
        let clustered = !mitotic && !cells.is_empty() && stream.chance(0.45);
        let (y, x, neighbour) = if clustered {
            let i = (stream.unit() * cells.len() as f32) as usize;
            let angle = std::f32::consts::TAU * stream.unit();
            let (dy, dx) = angle.sin_cos();
            let to = &cells[i].nucleus;
            let touching = to.radius_towards(dy, dx) + cell.nucleus.radius_towards(-dy, -dx);
            // Below 1 the nuclei overlap a little, above they leave a gap of up to a micrometre.
            let distance = touching * stream.between(0.86, 1.07);
            (to.y + dy * distance, to.x + dx * distance, Some(i))
        } else {
            let (y, x) = (
                stream.unit() * extent - outside,
                stream.unit() * extent - outside,
            );
            // At high confluence there is no empty land left between islands.
            let barren = islands.at(y, x) < -0.3 && stream.chance(0.9 * (1.0 - confluence));
            if barren {
                continue;
            }
            (y, x, None)
        };
        let inside = |v: f32| v >= -outside && v < side as f32 + outside;
        if inside(y) && inside(x) && has_room(&cells, &cell, y, x, neighbour, px) {
            cells.push(cell.moved_to(y, x));
        }
    }
    cells
}

/// Whether a nucleus fits at `(y, x)`: apart from the others, except the one it touches on purpose.
fn has_room(
    cells: &[Cell],
    cell: &Cell,
    y: f32,
    x: f32,
    neighbour: Option<usize>,
    px: f32,
) -> bool {
    let size = |cell: &Cell| {
        if cell.mitotic {
            cell.body.reach
        } else {
            cell.nucleus.reach
        }
    };
    cells.iter().enumerate().all(|(i, other)| {
        let (dy, dx) = (other.nucleus.y - y, other.nucleus.x - x);
        let distance2 = dy * dy + dx * dx;
        let far = size(cell) + size(other) + 3.0 * px;
        if distance2 > far * far {
            return true;
        }
        if cell.mitotic || other.mitotic {
            // A rounded cell stands clear of other nuclei.
            let clear = size(cell) + size(other) - 1.0 * px;
            return distance2 > clear * clear;
        }
        let touching = cell.nucleus.radius_towards(dy, dx) + other.nucleus.radius_towards(-dy, -dx);
        let least = if neighbour == Some(i) {
            touching * 0.84
        } else if neighbour.is_some() {
            touching * 0.95
        } else {
            touching + 1.5 * px
        };
        distance2 >= least * least
    })
}

impl Cell {
    /// A spread cell around the origin from its own stream; `px` is pixels per um.
    fn spread(s: &mut Stream, px: f32) -> Cell {
        // DNA content over the cell cycle: G1, S, G2.
        let phase = s.unit();
        let content = if phase < 0.6 {
            1.0
        } else if phase < 0.82 {
            s.between(1.0, 2.0)
        } else {
            2.0
        };
        let radius_um = (6.6 * content.powf(0.22) * (0.09 * s.normal()).exp()).clamp(5.2, 9.5);
        let ratio = (1.12 + 0.22 * s.normal().abs()).min(2.0);
        let long_axis = std::f32::consts::TAU * s.unit();
        let irregularity = if s.chance(0.1) { 0.09 } else { 0.035 };
        let wobble = Wobble::new(s, irregularity);
        // One nucleus in twelve is kidney-shaped: a dent on one side.
        let dent = if s.chance(0.08) {
            s.between(0.2, 0.4)
        } else {
            0.0
        };
        let dent_at = std::f32::consts::TAU * s.unit();
        let nucleus = Outline::new(0.0, 0.0, |angle| {
            let from_dent = (angle - dent_at).cos();
            radius_um
                * px
                * ellipse(ratio, angle - long_axis)
                * (1.0 + wobble.at(angle) - dent * (4.0 * (from_dent - 1.0)).exp())
        });

        let spread_um = (12.8 * (0.2 * s.normal()).exp()).max(1.25 * radius_um + 2.5);
        let stretch = (1.15 + 0.35 * s.normal().abs()).min(2.4);
        let body_axis = long_axis + 0.35 * s.normal();
        let ruffles = Wobble::new(s, 0.12);
        // Processes: up to three narrow outgrowths.
        let processes: Vec<(f32, f32, f32)> = (0..s.poisson(1.1).min(3))
            .map(|_| {
                (
                    std::f32::consts::TAU * s.unit(),
                    s.between(0.25, 0.9),
                    s.between(12.0, 40.0),
                )
            })
            .collect();
        let lean = 0.25 * (spread_um - radius_um) * px;
        let body = Outline::new(lean * s.normal(), lean * s.normal(), |angle| {
            let mut radius = ellipse(stretch, angle - body_axis) * (1.0 + ruffles.at(angle));
            for &(at, length, sharpness) in &processes {
                radius += length * (sharpness * ((angle - at).cos() - 1.0)).exp();
            }
            spread_um * px * radius.max(0.35)
        });

        let nucleoli = (0..1 + s.poisson(1.4).min(4))
            .map(|_| {
                let angle = std::f32::consts::TAU * s.unit();
                let (dy, dx) = angle.sin_cos();
                let distance = 0.68 * s.unit().sqrt() * nucleus.radius_towards(dy, dx);
                Nucleolus {
                    y: dy * distance,
                    x: dx * distance,
                    sigma: s.between(0.45, 0.95) * px,
                }
            })
            .collect();
        // Round cells are thick, spread cells flat.
        let flatness = 12.8 / spread_um;
        Cell {
            nucleoli,
            dna: content / (radius_um / 6.6).powi(2) * (0.13 * s.normal()).exp(),
            mitochondria: (0.3 * s.normal()).exp(),
            dome_um: 3.4 * flatness * (0.25 * s.normal()).exp(),
            rim_um: (1.0 * flatness * (0.35 * s.normal()).exp()).clamp(0.4, 2.5),
            edge_um: s.between(0.5, 1.6),
            nucleus_um: 4.6 * (0.12 * s.normal()).exp(),
            nucleus_index: 0.007 * (0.25 * s.normal()).exp(),
            granules: 70.0 * (0.7 * s.normal()).exp(),
            mitotic: false,
            nucleus,
            body,
        }
    }

    /// A cell in metaphase (a plate seen from its edge) or prometaphase (an irregular clump).
    fn mitotic(s: &mut Stream, px: f32) -> Cell {
        let radius_um = s.between(7.5, 10.0);
        let edge_on = s.chance(0.65);
        let (mean_um, ratio, rough) = if edge_on {
            (3.1, s.between(2.4, 3.6), 0.05)
        } else {
            (4.2, s.between(1.0, 1.4), 0.11)
        };
        let axis = std::f32::consts::TAU * s.unit();
        let wobble = Wobble::new(s, rough);
        let fine = Wobble::new(s, rough);
        let nucleus = Outline::new(0.0, 0.0, |angle| {
            // The third factor adds chromosome arms: the same waves three times as fast.
            mean_um
                * px
                * ellipse(ratio, angle - axis)
                * (1.0 + wobble.at(angle))
                * (1.0 + 0.8 * fine.at(3.0 * angle))
        });
        let round = Wobble::new(s, 0.02);
        let body = Outline::new(0.4 * px * s.normal(), 0.4 * px * s.normal(), |angle| {
            radius_um * px * (1.0 + round.at(angle))
        });
        Cell {
            nucleus,
            body,
            mitotic: true,
            nucleoli: Vec::new(),
            dna: s.between(2.4, 3.6),
            mitochondria: (0.25 * s.normal()).exp(),
            // The height follows from the sphere; this is its flattening.
            dome_um: 1.5 * radius_um,
            rim_um: 0.0,
            edge_um: 0.6,
            nucleus_um: 6.0,
            nucleus_index: 0.025,
            granules: 50.0,
        }
    }

    /// The same cell with its nucleus at `(y, x)`.
    fn moved_to(mut self, y: f32, x: f32) -> Cell {
        let (dy, dx) = (y - self.nucleus.y, x - self.nucleus.x);
        self.nucleus = self.nucleus.moved_to(y, x);
        let body = (self.body.y + dy, self.body.x + dx);
        self.body = self.body.moved_to(body.0, body.1);
        for nucleolus in &mut self.nucleoli {
            nucleolus.y += dy;
            nucleolus.x += dx;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cell_in_twenty_divides_and_nuclei_cluster() {
        let spec = PlateSpec::default();
        let (mut cells, mut mitotic, mut touching) = (0, 0, 0);
        for field in 0..3 {
            let here = populate(&spec, Key::new(9).with(field), 1600);
            cells += here.len();
            mitotic += here.iter().filter(|cell| cell.mitotic).count();
            touching += here
                .iter()
                .enumerate()
                .filter(|&(i, cell)| {
                    here.iter().enumerate().any(|(j, other)| {
                        let (a, b) = (&cell.nucleus, &other.nucleus);
                        let (dy, dx) = (b.y - a.y, b.x - a.x);
                        let touching = a.radius_towards(dy, dx) + b.radius_towards(-dy, -dx);
                        i != j && (dy * dy + dx * dx).sqrt() < 1.1 * touching
                    })
                })
                .count();
        }
        assert!(cells > 1000, "{cells} cells");
        // Three standard errors of a share of 0.05 among a thousand.
        let share = mitotic as f64 / cells as f64;
        assert!((share - 0.05).abs() < 0.021, "mitotic share {share}");
        // Nearly half of the cells are put beside another one.
        let clustered = touching as f64 / cells as f64;
        assert!(
            (0.3..0.9).contains(&clustered),
            "{clustered} of the nuclei touch"
        );
    }
}
