//! The one two-dimensional array of the workspace: row-major, `[height, width]`.

/// A row-major image of `height` x `width` values.
///
/// Used for intensities (`Image<f32>`), binary masks (`Image<bool>`), class masks (`Image<u8>`)
/// and labels (`Image<u32>`, 0 = background). Coordinates are `(y, x)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<T> {
    height: usize,
    width: usize,
    data: Vec<T>,
}

impl<T> Image<T> {
    /// Wraps `data`, which holds `height * width` values row by row.
    ///
    /// # Panics
    /// If the length does not match.
    pub fn new(height: usize, width: usize, data: Vec<T>) -> Self {
        assert_eq!(
            data.len(),
            height * width,
            "image data does not match {height} x {width}"
        );
        Self {
            height,
            width,
            data,
        }
    }

    /// Builds an image by asking for every value at `(y, x)`.
    pub fn from_fn(height: usize, width: usize, mut value: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(height * width);
        for y in 0..height {
            for x in 0..width {
                data.push(value(y, x));
            }
        }
        Self {
            height,
            width,
            data,
        }
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `(height, width)`.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// All values, row by row.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All values, row by row, for writing.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Gives up the image for its values.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// Row `y`.
    pub fn row(&self, y: usize) -> &[T] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// Row `y`, for writing.
    pub fn row_mut(&mut self, y: usize) -> &mut [T] {
        &mut self.data[y * self.width..(y + 1) * self.width]
    }

    /// The value at `(y, x)`, for writing.
    pub fn get_mut(&mut self, y: usize, x: usize) -> &mut T {
        &mut self.data[y * self.width + x]
    }

    /// A new image with `f` applied to every value.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Image<U> {
        Image {
            height: self.height,
            width: self.width,
            data: self.data.iter().map(f).collect(),
        }
    }
}

impl<T: Copy> Image<T> {
    /// An image with the same value everywhere.
    pub fn filled(height: usize, width: usize, value: T) -> Self {
        Self {
            height,
            width,
            data: vec![value; height * width],
        }
    }

    /// The value at `(y, x)`.
    pub fn get(&self, y: usize, x: usize) -> T {
        self.data[y * self.width + x]
    }

    /// The window of `height` x `width` values whose first corner is `(y, x)`.
    ///
    /// # Panics
    /// If the window leaves the image.
    pub fn crop(&self, y: usize, x: usize, height: usize, width: usize) -> Self {
        assert!(
            y + height <= self.height && x + width <= self.width,
            "crop leaves the image"
        );
        let mut data = Vec::with_capacity(height * width);
        for row in y..y + height {
            data.extend_from_slice(&self.row(row)[x..x + width]);
        }
        Self {
            height,
            width,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crop_takes_rows_then_columns() {
        let image = Image::from_fn(3, 4, |y, x| 10 * y + x);
        assert_eq!(image.crop(1, 2, 2, 2).data(), &[12, 13, 22, 23]);
    }
}
