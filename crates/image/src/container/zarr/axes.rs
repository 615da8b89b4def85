//! What the axes of an image mean, and the lengths of its pixels.

use serde_json::Value;

use super::node::{Refusal, broken};
use crate::format::description::{self, Length};

/// What an axis runs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Time,
    Channel,
    Z,
    Y,
    X,
    /// Of space, but not called z, y or x.
    Space,
    Other,
}

/// One axis as it is described.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) role: Role,
    pub(super) name: String,
    unit: String,
}

impl Axis {
    fn called(name: &str) -> Self {
        let role = match name.to_lowercase().as_str() {
            "t" => Role::Time,
            "c" => Role::Channel,
            "z" => Role::Z,
            "y" => Role::Y,
            "x" => Role::X,
            _ => Role::Other,
        };
        Self {
            role,
            name: name.to_string(),
            unit: String::new(),
        }
    }

    /// By its type and, of those of space, its name.
    fn of(said: &Value) -> Option<Self> {
        if let Some(name) = said.as_str() {
            return Some(Self::called(name));
        }
        let mut axis = Self::called(said.get("name")?.as_str()?);
        axis.role = match (said["type"].as_str(), axis.role) {
            (Some("time"), _) => Role::Time,
            (Some("channel"), _) => Role::Channel,
            (Some("space"), Role::Z | Role::Y | Role::X) | (None, _) => axis.role,
            (Some("space"), _) => Role::Space,
            (Some(_), _) => Role::Other,
        };
        axis.unit = said["unit"].as_str().unwrap_or_default().to_string();
        Some(axis)
    }

    /// `value` of this axis as a length.
    pub(super) fn length(&self, value: f64) -> Length {
        Length::of(value, &self.unit)
    }

    /// `value` of this axis in um, of either sign.
    pub(super) fn um(&self, value: f64) -> Option<f64> {
        let um = value * description::um_of(&self.unit)?;
        um.is_finite().then_some(um)
    }

    /// `value` of this axis in seconds.
    pub(super) fn seconds(&self, value: f64) -> Option<f64> {
        let second = match self.unit.to_lowercase().as_str() {
            "day" | "d" => 86_400.0,
            "hour" | "h" => 3_600.0,
            "minute" | "min" => 60.0,
            "second" | "s" => 1.0,
            "millisecond" | "ms" => 1e-3,
            "microsecond" | "us" => 1e-6,
            "nanosecond" | "ns" => 1e-9,
            _ => return None,
        };
        let seconds = value * second;
        (seconds.is_finite() && seconds > 0.0).then_some(seconds)
    }
}

/// The axes that `multiscale` describes for an array of `count` dimensions. Versions 0.1 and 0.2
/// name none and have these five.
pub(super) fn axes_of(multiscale: &Value, count: usize) -> Result<Vec<Axis>, Refusal> {
    let mut axes = match &multiscale["axes"] {
        Value::Null if count == 5 => ["t", "c", "z", "y", "x"].map(Axis::called).to_vec(),
        Value::Null => return broken(format!("its {count} axes are not named")),
        Value::Array(all) => match all.iter().map(Axis::of).collect::<Option<Vec<_>>>() {
            Some(axes) => axes,
            None => return broken("one of its axes has no name"),
        },
        other => return broken(format!("its axes are `{other}`")),
    };
    if axes.len() != count {
        return broken(format!(
            "it names {} axes, and its array has {count}",
            axes.len()
        ));
    }
    if !(2..=5).contains(&count) {
        return broken(format!("it has {count} axes, and OME-Zarr has 2 to 5"));
    }
    // Where none is called z, y or x, they are in this order.
    if !axes
        .iter()
        .any(|axis| matches!(axis.role, Role::Z | Role::Y | Role::X))
    {
        let space = axes.iter_mut().filter(|axis| axis.role == Role::Space);
        let roles = [Role::X, Role::Y, Role::Z];
        for (axis, role) in space.rev().zip(roles) {
            axis.role = role;
        }
    }
    for role in [Role::Time, Role::Channel, Role::Z, Role::Y, Role::X] {
        if axes.iter().filter(|axis| axis.role == role).count() > 1 {
            return broken(format!("two of its axes are {role:?}"));
        }
    }
    Ok(axes)
}

/// Scale and place of pixels along each axis: `place + scale * index`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transform {
    pub(super) scale: Vec<f64>,
    /// `None` where none is stated.
    pub(super) place: Option<Vec<f64>>,
}

impl Transform {
    pub(super) fn identity(axes: usize) -> Self {
        Self {
            scale: vec![1.0; axes],
            place: None,
        }
    }

    /// Adds the steps of `said`, which come after those that are in it.
    pub(super) fn then(mut self, said: &Value) -> Result<Self, String> {
        let no_steps = Vec::new();
        let steps = match said {
            Value::Null => &no_steps,
            Value::Array(steps) => steps,
            other => return Err(format!("its coordinate transformations are `{other}`")),
        };
        for step in steps {
            let numbers = |key: &str| -> Result<Vec<f64>, String> {
                let all = step[key].as_array();
                let all = all.and_then(|all| all.iter().map(Value::as_f64).collect());
                all.filter(|all: &Vec<f64>| all.len() == self.scale.len())
                    .ok_or(format!("a coordinate transformation of it is `{step}`"))
            };
            match step["type"].as_str() {
                Some("identity") => {}
                Some("scale") => {
                    let factors = numbers("scale")?;
                    let scaled = |of: &mut f64, factor: &f64| *of *= factor;
                    let each = self.scale.iter_mut().zip(&factors);
                    each.for_each(|(of, factor)| scaled(of, factor));
                    let place = self.place.iter_mut().flatten();
                    place
                        .zip(&factors)
                        .for_each(|(of, factor)| scaled(of, factor));
                }
                Some("translation") => {
                    let moved = numbers("translation")?;
                    let place = self.place.get_or_insert_with(|| vec![0.0; moved.len()]);
                    place
                        .iter_mut()
                        .zip(&moved)
                        .for_each(|(of, more)| *of += more);
                }
                _ => return Err(format!("a coordinate transformation of it is `{step}`")),
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles(axes: Value, count: usize) -> Result<Vec<Role>, String> {
        let axes = axes_of(&json!({ "axes": axes }), count).map_err(|refusal| refusal.what())?;
        Ok(axes.iter().map(|axis| axis.role).collect())
    }

    #[test]
    fn axes_are_known_by_their_type_and_those_of_space_by_their_name() {
        use Role::{Channel, Other, Time, X, Y, Z};
        let axis = |name: &str, of: &str| json!({ "name": name, "type": of });
        let space = |name: &str| axis(name, "space");
        for (axes, count, wanted) in [
            (json!(null), 5, vec![Time, Channel, Z, Y, X]),
            (json!(["c", "y", "x"]), 3, vec![Channel, Y, X]),
            (json!([space("y"), space("x")]), 2, vec![Y, X]),
            (json!([space("X"), space("Y")]), 2, vec![X, Y]),
            (
                json!([axis("lapse", "time"), space("height"), space("width")]),
                3,
                vec![Time, Y, X],
            ),
            (
                json!([axis("c", "stain"), space("y"), space("x")]),
                3,
                vec![Other, Y, X],
            ),
            (json!([{ "name": "y" }, { "name": "x" }]), 2, vec![Y, X]),
        ] {
            assert_eq!(roles(axes.clone(), count), Ok(wanted), "{axes}");
        }
        for (axes, count, said) in [
            (json!(["y", "x"]), 3, "names 2 axes, and its array has 3"),
            (json!(null), 3, "not named"),
            (json!(["x", "x"]), 2, "two of its axes are X"),
            (json!([1, 2]), 2, "has no name"),
            (json!(["x"]), 1, "2 to 5"),
        ] {
            let found = roles(axes, count).expect_err("refused");
            assert!(found.contains(said), "{found}");
        }
    }

    #[test]
    fn the_steps_of_both_levels_apply_one_after_the_other() {
        let scale = |by: f64| json!({ "type": "scale", "scale": [by, by] });
        let moved = |by: f64| json!({ "type": "translation", "translation": [by, by] });
        let inner = Transform::identity(2).then(&json!([scale(2.0), moved(10.0)]));
        let both = inner
            .expect("read")
            .then(&json!([scale(3.0), moved(1.0)]))
            .expect("read");
        assert_eq!(both.scale, [6.0; 2]);
        assert_eq!(both.place, Some(vec![31.0; 2]));
        for wrong in [
            json!([{ "type": "affine" }]),
            json!([{ "type": "scale", "scale": [1] }]),
        ] {
            assert!(Transform::identity(2).then(&wrong).is_err(), "{wrong}");
        }
    }
}
