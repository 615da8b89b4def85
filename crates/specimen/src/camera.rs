//! From light to numbers: illumination, dust, shot and read noise, the 16-bit converter.

use rayon::prelude::*;
use stainfree_image::Image;

use crate::raster::BAND;
use crate::rng::{Key, NormalTable, Purpose, Stream};
use crate::spec::{Degrade, PlateSpec};

/// A camera channel: how light becomes counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// Electrons per unit of light.
    pub(crate) electrons: f32,
    /// Electrons of background, under the same illumination.
    pub(crate) background: f32,
    /// Read noise in electrons.
    pub(crate) read_noise: f32,
}

/// Counts of a dark pixel.
const OFFSET: f32 = 100.0;
/// Counts per electron: a scientific CMOS camera of 30,000 electrons in 16 bit.
const COUNTS_PER_ELECTRON: f32 = 2.2;

/// Slow unevenness of the light over the field: a tilt, a bowl and the darkening of the corners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Illumination {
    tilt: (f32, f32),
    bowl: f32,
    centre: (f32, f32),
}

impl Illumination {
    /// The illumination of one channel of a plate, `strength` its relative size (0 = even).
    pub(crate) fn new(key: Key, strength: f32) -> Self {
        let mut s = key.stream();
        Illumination {
            tilt: (strength * 0.5 * s.normal(), strength * 0.5 * s.normal()),
            bowl: strength * s.between(0.5, 1.5),
            centre: (s.between(-0.3, 0.3), s.between(-0.3, 0.3)),
        }
    }

    /// Relative light at a pixel of a field of `side` pixels.
    pub(crate) fn at(&self, y: usize, x: usize, side: usize) -> f32 {
        let (v, u) = (
            2.0 * y as f32 / side as f32 - 1.0 - self.centre.0,
            2.0 * x as f32 / side as f32 - 1.0 - self.centre.1,
        );
        (1.0 + self.tilt.0 * v + self.tilt.1 * u - self.bowl * (u * u + v * v - 0.6)).max(0.05)
    }
}

/// A soft disc-shaped shadow of something far from the focal plane.
#[derive(Clone, Copy, Debug)]
struct Shadow {
    y: f32,
    x: f32,
    radius: f32,
    depth: f32,
    soft: f32,
}

/// Shadows of dust: on the optics (the same in all fields of a plate) and above the dish.
#[derive(Clone, Debug)]
pub(crate) struct Dust(Vec<Shadow>);

impl Dust {
    pub(crate) fn new(spec: &PlateSpec, plate: Key, field: Key) -> Self {
        let more = if spec.degrade == Degrade::Hard {
            2.5
        } else {
            1.0
        };
        let mut shadows = Vec::new();
        let mut strew = |mut s: Stream, per_mm2: f32, radius: (f32, f32), depth: f32| {
            let px = 1.0 / spec.pixel_um as f32;
            let side = spec.side as f32;
            let area_mm2 = (side / px / 1000.0).powi(2);
            for _ in 0..s.poisson(more * per_mm2 * area_mm2) {
                shadows.push(Shadow {
                    y: s.unit() * side,
                    x: s.unit() * side,
                    radius: s.between(radius.0, radius.1) * px,
                    depth: depth * s.between(0.3, 1.0),
                    soft: s.between(0.25, 0.8),
                });
            }
        };
        strew(
            plate.purpose(Purpose::DustOnOptics).stream(),
            10.0,
            (6.0, 25.0),
            0.035,
        );
        strew(
            field.purpose(Purpose::DustOnDish).stream(),
            10.0,
            (5.0, 16.0),
            0.06,
        );
        Dust(shadows)
    }

    /// Multiplies a row of light by the shadows over it.
    fn shade_row(&self, y: usize, light: &mut [f32]) {
        for shadow in &self.0 {
            let dy = y as f32 - shadow.y;
            // The edge fades out between these two distances.
            let outer = shadow.radius * (1.0 + 0.5 * shadow.soft);
            let inner = shadow.radius * (1.0 - 0.5 * shadow.soft);
            if dy.abs() >= outer {
                continue;
            }
            let half = (outer * outer - dy * dy).sqrt();
            let from = (shadow.x - half).max(0.0) as usize;
            let to = ((shadow.x + half) as usize + 1).min(light.len());
            for (x, light) in light.iter_mut().enumerate().take(to).skip(from) {
                let dx = x as f32 - shadow.x;
                let r = (dy * dy + dx * dx).sqrt();
                let t = ((outer - r) / (outer - inner)).clamp(0.0, 1.0);
                *light *= 1.0 - shadow.depth * t * t * (3.0 - 2.0 * t);
            }
        }
    }
}

/// Exposes the camera to `light(y, x)`, of a square field of `side` pixels.
///
/// `key` is the field's and the channel's; every row has its own noise stream.
pub(crate) fn expose(
    side: usize,
    channel: &Channel,
    illumination: &Illumination,
    dust: Option<&Dust>,
    key: Key,
    table: &NormalTable,
    light: impl Fn(usize, usize) -> f32 + Sync,
) -> Image<u16> {
    let mut counts = vec![0u16; side * side];
    counts
        .par_chunks_mut(side * BAND)
        .enumerate()
        .for_each(|(band, rows)| {
            let mut expected = vec![0.0_f32; side];
            for (i, row) in rows.chunks_mut(side).enumerate() {
                let y = band * BAND + i;
                for (x, value) in expected.iter_mut().enumerate() {
                    let light = channel.electrons * light(y, x).max(0.0) + channel.background;
                    *value = light * illumination.at(y, x, side);
                }
                if let Some(dust) = dust {
                    dust.shade_row(y, &mut expected);
                }
                let shot = key.purpose(Purpose::ShotNoise).with(y as u64);
                let read = key.purpose(Purpose::ReadNoise).with(y as u64);
                for (x, (count, &mean)) in row.iter_mut().zip(&expected).enumerate() {
                    let electrons = table.electrons(mean, (shot.bits(x as u64) >> 32) as u32)
                        + channel.read_noise * table.sample((read.bits(x as u64) >> 32) as u32);
                    // The conversion to u16 saturates at both ends, as the converter does.
                    *count = (OFFSET + COUNTS_PER_ELECTRON * electrons + 0.5) as u16;
                }
            }
        });
    Image::new(side, side, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: Channel = Channel {
        electrons: 10_000.0,
        background: 50.0,
        read_noise: 1.5,
    };

    fn even() -> Illumination {
        Illumination::new(Key::new(1), 0.0)
    }

    #[test]
    fn noise_follows_the_light_and_bright_light_saturates() {
        let table = NormalTable::new();
        let side = 128;
        for light in [0.0, 0.1, 1.0] {
            let image = expose(
                side,
                &CHANNEL,
                &even(),
                None,
                Key::new(3),
                &table,
                |_, _| light,
            );
            let n = (side * side) as f64;
            let mean = image.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let variance = image
                .data()
                .iter()
                .map(|&v| (f64::from(v) - mean).powi(2))
                .sum::<f64>()
                / n;
            let electrons = f64::from(10_000.0 * light + 50.0);
            let gain = f64::from(COUNTS_PER_ELECTRON);
            assert!((mean - 100.0 - gain * electrons).abs() < 4.0 * gain * (electrons / n).sqrt());
            // Shot, read and quantisation noise; 4 standard errors of a variance of 16384 values.
            let expected = gain * gain * (electrons + 2.25 + 0.125) + 1.0 / 12.0;
            assert!((variance / expected - 1.0).abs() < 4.0 * (2.0 / n).sqrt() + 0.01);
        }
        let image = expose(
            side,
            &CHANNEL,
            &even(),
            None,
            Key::new(3),
            &table,
            |_, _| 4.0,
        );
        assert!(image.data().iter().all(|&v| v == u16::MAX));
    }
}
