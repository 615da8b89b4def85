//! Arrays as NumPy's files (`numpy.lib.format`, version 1.0).

/// An array of f32 in C order.
pub(super) fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}",
        lengths.join(", ")
    );
    // Magic, version and the header's length take ten bytes; the values begin at a multiple of 64.
    let behind = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(behind - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::npy;

    #[test]
    fn bytes_are_those_that_numpy_writes() {
        let bytes = npy(&[1, 2], &[0.5, -2.0]);
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2,), }";
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(bytes[8..10], [118, 0]);
        assert!(bytes[10..].starts_with(header.as_bytes()));
        assert_eq!(bytes[127], b'\n');
        assert_eq!(bytes[128..], [0, 0, 0, 63, 0, 0, 0, 192]);
    }
}
