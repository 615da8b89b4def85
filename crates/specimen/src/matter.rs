//! What light meets: phase, absorption and stain of every pixel of the drawing square.
//!
//! Lengths are heights in um, refractive indices are differences to the medium, and phase is
//! `2 pi / wavelength` times height times index difference. Values for cytoplasm (0.02 to 0.03),
//! nucleus (a little above or below it), nucleoli and lipid droplets (0.1) are of the size measured
//! by quantitative phase microscopy of adherent cells.

use rayon::prelude::*;

use crate::noise::Noise;
use crate::population::Cell;
use crate::raster::{BAND, ROUND, Territory, for_each_pixel};
use crate::rng::{Key, Purpose};
use crate::spec::{Degrade, PlateSpec};

/// Index difference of cytoplasm to medium.
const CYTOPLASM_INDEX: f32 = 0.023;
/// Index difference of a nucleolus to the nucleus, and its height in standard deviations.
const NUCLEOLUS_INDEX: f32 = 0.02;

/// A small round body: a Gaussian spot in each of the four maps.
#[derive(Clone, Copy, Debug)]
struct Spot {
    y: f32,
    x: f32,
    sigma: f32,
    phase: f32,
    absorption: f32,
    nuclear: f32,
    mitochondrial: f32,
}

/// The four maps, `[side, side]`.
pub(crate) struct Matter {
    /// Phase in rad.
    pub(crate) phase: Vec<f32>,
    /// Amplitude absorption.
    pub(crate) absorption: Vec<f32>,
    /// Nuclear stain; 1 in a typical G1 nucleus.
    pub(crate) nuclear: Vec<f32>,
    /// Mitochondrial stain; 1 is the middle of a mitochondrion.
    pub(crate) mitochondrial: Vec<f32>,
}

/// Rows of the four maps that one thread draws.
struct Band<'a> {
    first: usize,
    side: usize,
    phase: &'a mut [f32],
    absorption: &'a mut [f32],
    nuclear: &'a mut [f32],
    mitochondrial: &'a mut [f32],
}

/// The textures of a field.
struct Textures {
    chromatin: Noise,
    chromatin_coarse: Noise,
    cytoplasm: Noise,
    cytoplasm_coarse: Noise,
    staining: Noise,
}

impl Matter {
    /// Fills the territory with matter; `key` is the field's.
    pub(crate) fn fill(
        spec: &PlateSpec,
        key: Key,
        cells: &[Cell],
        territory: &Territory,
    ) -> Matter {
        let side = territory.side;
        let px = 1.0 / spec.pixel_um as f32;
        let texture = |n, um: f32| {
            Noise::new(
                key.purpose(Purpose::Texture).with(n),
                side,
                (um * px).max(1.0),
            )
        };
        let textures = Textures {
            chromatin: texture(1, 0.4),
            chromatin_coarse: texture(2, 1.1),
            cytoplasm: texture(3, 0.45),
            cytoplasm_coarse: texture(4, 1.6),
            staining: texture(5, 60.0),
        };
        let mut spots = organelles(spec, key, cells, territory);
        spots.extend(debris(spec, key, side));
        let buckets = bucket(&spots, side);

        let mut matter = Matter {
            phase: vec![0.0; side * side],
            absorption: vec![0.0; side * side],
            nuclear: vec![0.0; side * side],
            mitochondrial: vec![0.0; side * side],
        };
        let bands = matter.phase.par_chunks_mut(side * BAND);
        let bands = bands.zip(matter.absorption.par_chunks_mut(side * BAND));
        let bands = bands.zip(matter.nuclear.par_chunks_mut(side * BAND));
        let bands = bands.zip(matter.mitochondrial.par_chunks_mut(side * BAND));
        bands
            .enumerate()
            .for_each(|(i, (((phase, absorption), nuclear), mitochondrial))| {
                let mut band = Band {
                    first: i * BAND,
                    side,
                    phase,
                    absorption,
                    nuclear,
                    mitochondrial,
                };
                band.draw_cytoplasm(spec, cells, territory, &textures);
                band.draw_nuclei(spec, cells, &textures);
                for &spot in &buckets[i] {
                    band.draw_spot(&spots[spot as usize]);
                }
            });
        matter
    }
}

/// Indices of the spots that touch each band of rows, in drawing order.
fn bucket(spots: &[Spot], side: usize) -> Vec<Vec<u32>> {
    let mut buckets = vec![Vec::new(); side.div_ceil(BAND)];
    for (index, spot) in spots.iter().enumerate() {
        let reach = 3.0 * spot.sigma + 1.0;
        if spot.y + reach < 0.0 || spot.y - reach >= side as f32 {
            continue;
        }
        let first = (spot.y - reach).max(0.0) as usize / BAND;
        let last = ((spot.y + reach) as usize / BAND).min(buckets.len() - 1);
        for bucket in &mut buckets[first..=last] {
            bucket.push(index as u32);
        }
    }
    buckets
}

impl Band<'_> {
    fn rows(&self) -> usize {
        self.phase.len() / self.side
    }

    fn draw_cytoplasm(
        &mut self,
        spec: &PlateSpec,
        cells: &[Cell],
        territory: &Territory,
        textures: &Textures,
    ) {
        let um = spec.pixel_um as f32;
        let wave_number = std::f32::consts::TAU / spec.optics.wavelength_um as f32;
        let side = self.side;
        let mut texture = vec![0.0; side];
        let mut staining = vec![0.0; side];
        for row in 0..self.rows() {
            let y = self.first + row;
            texture.fill(0.0);
            textures.cytoplasm.add_row(y as f32, 0.045, &mut texture);
            textures
                .cytoplasm_coarse
                .add_row(y as f32, 0.06, &mut texture);
            staining.fill(0.0);
            let unevenness = if spec.degrade == Degrade::Hard {
                0.3
            } else {
                0.08
            };
            textures
                .staining
                .add_row(y as f32, unevenness, &mut staining);
            for x in 0..side {
                let place = y * side + x;
                let Some(owner) = territory.cell[place].checked_sub(1) else {
                    continue;
                };
                let cell = &cells[owner as usize];
                let own = territory.own[place];
                let height = if cell.mitotic {
                    let fraction = (own / ROUND).min(1.0);
                    cell.dome_um * (1.0 - fraction * fraction).sqrt()
                } else {
                    height_um(cell, own, territory.rival[place], territory.scale, um)
                };
                let i = row * side + x;
                let grain = 1.0 + texture[x];
                self.phase[i] = wave_number * CYTOPLASM_INDEX * height * grain;
                self.absorption[i] = 0.0022 * height * grain;
                // Dye in the cytosol and out-of-focus mitochondria.
                let inside_nucleus = territory.nucleus[place] > 0;
                let diffuse = if inside_nucleus { 0.035 } else { 0.06 };
                self.mitochondrial[i] = cell.mitochondria
                    * (1.0 + staining[x]).max(0.1)
                    * (0.05 + diffuse * height)
                    * (1.0 + 2.0 * texture[x]).max(0.0);
            }
        }
    }

    fn draw_nuclei(&mut self, spec: &PlateSpec, cells: &[Cell], textures: &Textures) {
        let wave_number = std::f32::consts::TAU / spec.optics.wavelength_um as f32;
        let um = spec.pixel_um as f32;
        let (first, side, rows) = (self.first, self.side, self.rows());
        for cell in cells {
            let outline = &cell.nucleus;
            if outline.y + outline.reach + 2.0 < first as f32
                || outline.y - outline.reach - 2.0 > (first + rows) as f32
            {
                continue;
            }
            let radius_um = outline.mean * um;
            let limit = 1.0 + 0.5 / radius_um;
            for_each_pixel(outline, limit, side, first, rows, |y, x, fraction| {
                let i = (y - first) * side + x;
                let (yf, xf) = (y as f32, x as f32);
                let dome = (1.0 - fraction * fraction).max(0.0).sqrt();
                // The envelope: a thin dense shell, seen from above as a line at the rim.
                let from_rim = (1.0 - fraction) * radius_um / 0.3;
                let envelope = (-from_rim * from_rim).exp();
                let mut nucleolar = 0.0;
                for body in &cell.nucleoli {
                    let r2 = (yf - body.y).powi(2) + (xf - body.x).powi(2);
                    let s2 = 2.0 * body.sigma * body.sigma;
                    if r2 < 4.5 * s2 {
                        nucleolar += (-r2 / s2).exp() * (body.sigma * um / 0.7);
                    }
                }
                let chromatin = 0.16 * textures.chromatin.at(yf, xf)
                    + 0.17 * textures.chromatin_coarse.at(yf, xf);
                let height = cell.nucleus_um * dome;
                let (optical, dye) = if cell.mitotic {
                    let solid = dome.sqrt();
                    (
                        cell.nucleus_index * height,
                        cell.dna * solid * (1.0 + 0.4 * chromatin),
                    )
                } else {
                    // A flattened nucleus: nearly even dye with a steep edge.
                    let flat = dome.powf(0.6);
                    (
                        cell.nucleus_index * height * (1.0 + 0.5 * chromatin)
                            + 0.013 * envelope
                            + NUCLEOLUS_INDEX * 2.2 * nucleolar * dome,
                        cell.dna
                            * flat
                            * (1.0 + chromatin + 0.12 * envelope)
                            * (1.0 - 0.45 * nucleolar.min(1.0)),
                    )
                };
                self.phase[i] += wave_number * optical;
                self.absorption[i] += if cell.mitotic {
                    0.012 * dome
                } else {
                    0.008 * dome + 0.02 * envelope + 0.02 * nucleolar * dome
                };
                self.nuclear[i] += dye.max(0.0);
            });
        }
    }

    fn draw_spot(&mut self, spot: &Spot) {
        /// Widest window in pixels; spots are drawn to 3 standard deviations.
        const WIDEST: usize = 128;
        let reach = (3.0 * spot.sigma).max(1.5);
        let side = self.side;
        let rows = self.rows();
        let y0 = (spot.y - reach).ceil().max(self.first as f32) as usize;
        let y1 = ((spot.y + reach).floor() + 1.0).clamp(0.0, (self.first + rows) as f32) as usize;
        let x0 = (spot.x - reach).ceil().max(0.0) as usize;
        let x1 = ((spot.x + reach).floor() + 1.0).clamp(0.0, side as f32) as usize;
        if y0 >= y1 || x0 >= x1 {
            return;
        }
        let scale = -0.5 / (spot.sigma * spot.sigma);
        let mut across = [0.0_f32; WIDEST];
        let width = (x1 - x0).min(WIDEST);
        for (i, value) in across[..width].iter_mut().enumerate() {
            let dx = (x0 + i) as f32 - spot.x;
            *value = (scale * dx * dx).exp();
        }
        for y in y0..y1 {
            let dy = y as f32 - spot.y;
            let down = (scale * dy * dy).exp();
            let start = (y - self.first) * side + x0;
            for (i, &value) in across[..width].iter().enumerate() {
                let value = value * down;
                self.phase[start + i] += spot.phase * value;
                self.absorption[start + i] += spot.absorption * value;
                self.nuclear[start + i] += spot.nuclear * value;
                self.mitochondrial[start + i] += spot.mitochondrial * value;
            }
        }
    }
}

/// Height in um of a spread cell: a rim of even height that falls to zero at free edges, a dome
/// over the nucleus, a groove where two cells meet.
fn height_um(cell: &Cell, own: f32, rival: f32, scale: f32, um: f32) -> f32 {
    let radius_um = cell.body.mean * um;
    let to_edge = ((scale - own) * radius_um).max(0.0);
    let edge = 1.0 - (-to_edge / cell.edge_um).exp();
    let inner = own / (0.62 * scale);
    let dome = (-inner * inner).exp();
    let mut height = (cell.rim_um + cell.dome_um * dome) * edge;
    // Edges of lamellae are a little thicker than the lamella behind them.
    let ruffle = (to_edge - 0.9) / 0.6;
    height += 0.25 * (-ruffle * ruffle).exp();
    if rival < scale {
        let to_contact = 0.5 * (rival - own) * radius_um / 0.7;
        height *= 1.0 - 0.5 * (-to_contact * to_contact).exp();
    }
    height
}

/// Mitochondria (short bent chains of spots) and granules of all cells.
fn organelles(spec: &PlateSpec, key: Key, cells: &[Cell], territory: &Territory) -> Vec<Spot> {
    let um = spec.pixel_um as f32;
    let px = 1.0 / um;
    let wave_number = std::f32::consts::TAU / spec.optics.wavelength_um as f32;
    let side = territory.side as f32;
    let drawn: Vec<Vec<Spot>> = cells
        .par_iter()
        .enumerate()
        .map(|(index, cell)| {
            let mut spots = Vec::new();
            let reach = 2.2 * cell.body.reach;
            let outside = |v: f32| v + reach < 0.0 || v - reach > side;
            if outside(cell.body.y) || outside(cell.body.x) {
                return spots;
            }
            let mut s = key.purpose(Purpose::Organelles).with(index as u64).stream();
            // Whether the cell owns the pixel, and whether the nucleus does.
            let owned = |y: f32, x: f32| -> Option<bool> {
                if y < 0.0 || x < 0.0 || y >= side || x >= side {
                    return None;
                }
                let i = (y as usize) * territory.side + x as usize;
                (territory.cell[i] == index as u32 + 1).then_some(territory.nucleus[i] > 0)
            };
            let spread_um = (cell.body.mean * territory.scale - cell.nucleus.mean).max(3.0) * um;
            let place = |s: &mut crate::rng::Stream, mean_um: f32| {
                let (dy, dx) = (std::f32::consts::TAU * s.unit()).sin_cos();
                let beyond = -(1.0 - s.unit()).ln() * mean_um - 0.2;
                let r = cell.nucleus.radius_towards(dy, dx) + beyond * px;
                (
                    cell.nucleus.y + r * dy,
                    cell.nucleus.x + r * dx,
                    dy.atan2(dx),
                )
            };
            let chains = (85.0 * (spread_um / 7.0).clamp(0.5, 2.0)) as u32;
            for _ in 0..chains {
                let (mut y, mut x, outward) = place(&mut s, 0.42 * spread_um);
                let mut heading = outward + s.between(-1.5, 1.5);
                let sigma = s.between(0.20, 0.33) * px;
                let bright = s.between(0.25, 0.75) * cell.mitochondria;
                for _ in 0..3 + (s.unit() * 9.0) as u32 {
                    match owned(y, x) {
                        Some(false) => {}
                        // Few lie above or below the nucleus.
                        Some(true) if s.chance(0.1) => {}
                        _ => break,
                    }
                    spots.push(Spot {
                        y,
                        x,
                        sigma,
                        phase: wave_number * 0.0055,
                        absorption: 0.002,
                        nuclear: 0.0,
                        mitochondrial: bright,
                    });
                    heading += s.between(-0.55, 0.55);
                    let (dy, dx) = heading.sin_cos();
                    y += 0.42 * px * dy;
                    x += 0.42 * px * dx;
                }
            }
            for _ in 0..s.poisson(cell.granules) {
                let (y, x, _) = place(&mut s, 0.38 * spread_um);
                if owned(y, x) != Some(false) {
                    continue;
                }
                // Most granules are barely resolved; a few are lipid droplets.
                let radius_um = if s.chance(0.06) {
                    s.between(0.45, 0.8)
                } else {
                    s.between(0.15, 0.4)
                };
                spots.push(Spot {
                    y,
                    x,
                    sigma: 0.75 * radius_um * px,
                    phase: wave_number * 0.055 * 1.5 * radius_um,
                    absorption: 0.06 * radius_um,
                    nuclear: 0.0,
                    mitochondrial: 0.0,
                });
            }
            spots
        })
        .collect();
    drawn.concat()
}

/// Debris on the bottom of the well: clumps of dense spots, stained only on a hard plate.
fn debris(spec: &PlateSpec, key: Key, side: usize) -> Vec<Spot> {
    let um = spec.pixel_um as f32;
    let px = 1.0 / um;
    let hard = spec.degrade == Degrade::Hard;
    let area_mm2 = (side as f32 * um / 1000.0).powi(2);
    let mut s = key.purpose(Purpose::Debris).stream();
    let clumps = s.poisson(if hard { 220.0 } else { 70.0 } * area_mm2);
    let mut spots = Vec::new();
    for _ in 0..clumps {
        let (y, x) = (s.unit() * side as f32, s.unit() * side as f32);
        let size = (0.7 * (0.6 * s.normal()).exp()).min(3.0) * px;
        let stained = if hard && s.chance(0.35) {
            s.between(0.3, 1.8)
        } else {
            0.0
        };
        for _ in 0..1 + s.poisson(2.0) {
            let (dy, dx) = (s.normal(), s.normal());
            spots.push(Spot {
                y: y + 1.1 * size * dy,
                x: x + 1.1 * size * dx,
                sigma: size * s.between(0.35, 0.8),
                phase: s.between(0.3, 1.6),
                absorption: s.between(0.02, 0.14),
                nuclear: stained,
                mitochondrial: if hard { 0.3 * stained } else { 0.0 },
            });
        }
    }
    spots
}
