//! Small LIF files.

/// A channel: bits, colour, bytes from the first one, and what is in its element.
pub fn channel(bits: u32, table: &str, bytes: u64, inside: &str) -> String {
    format!(
        "<ChannelDescription DataType=\"0\" ChannelTag=\"0\" Resolution=\"{bits}\" \
         LUTName=\"{table}\" BytesInc=\"{bytes}\">{inside}</ChannelDescription>"
    )
}

/// A dimension: number, elements, length in metres, bytes from an element to the next.
pub fn dimension(id: u32, count: u64, length: f64, bytes: u64) -> String {
    let unit = if id == 4 { "s" } else { "m" };
    format!(
        "<DimensionDescription DimID=\"{id}\" NumberOfElements=\"{count}\" Origin=\"1.0e-020\" \
         Length=\"{length:e}\" Unit=\"{unit}\" BytesInc=\"{bytes}\"/>"
    )
}

/// An image in block `MemBlock_{block}`; `more` stands behind its dimensions.
pub fn image(
    name: &str,
    channels: &[String],
    dimensions: &[String],
    block: u32,
    more: &str,
) -> String {
    format!(
        "<Element Name=\"{name}\"><Data><Image><ImageDescription><Channels>{}</Channels>\
         <Dimensions>{}</Dimensions></ImageDescription>{more}</Image></Data>\
         <Memory Size=\"1\" MemoryBlockID=\"MemBlock_{block}\"/></Element>",
        channels.concat(),
        dimensions.concat()
    )
}

/// A folder of elements.
pub fn folder(name: &str, inside: &str) -> String {
    format!(
        "<Element Name=\"{name}\"><Data/><Memory Size=\"0\" MemoryBlockID=\"MemBlock_9{}\"/>\
         <Children>{inside}</Children></Element>",
        name.len()
    )
}

/// A file of this version with these elements and blocks.
pub fn file(version: u32, elements: &str, blocks: &[(u32, &[u8])]) -> Vec<u8> {
    let xml = format!(
        "<LMSDataContainerHeader Version=\"{version}\">{}</LMSDataContainerHeader>",
        folder("the file", elements)
    );
    let text = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let count = |text: &str| (text.encode_utf16().count() as u32).to_le_bytes();
    let mut bytes = vec![0x70, 0, 0, 0];
    bytes.extend((2 * xml.encode_utf16().count() as u32 + 5).to_le_bytes());
    bytes.push(0x2A);
    bytes.extend(count(&xml));
    bytes.extend(text(&xml));
    for (number, pixels) in blocks {
        let name = format!("MemBlock_{number}");
        bytes.extend([0x70, 0, 0, 0, 0, 0, 0, 0, 0x2A]);
        match version {
            2 => bytes.extend((pixels.len() as u64).to_le_bytes()),
            _ => bytes.extend((pixels.len() as u32).to_le_bytes()),
        }
        bytes.push(0x2A);
        bytes.extend(count(&name));
        bytes.extend(text(&name));
        bytes.extend(*pixels);
    }
    bytes
}
