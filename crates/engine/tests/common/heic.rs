//! Writes HEIC files, right and wrong ones, around HEVC pictures. Shared with the engine's own tests.

/// An item of a file.
#[derive(Clone, Default)]
pub struct Item {
    pub kind: [u8; 4],
    pub data: Vec<u8>,
    /// Whole boxes.
    pub properties: Vec<Vec<u8>>,
}

/// A file whose items are numbered from 1 on; the first is the primary one.
#[derive(Clone, Default)]
pub struct File {
    pub items: Vec<Item>,
    pub references: Vec<(&'static [u8; 4], u16, Vec<u16>)>,
}

pub fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

/// With a version and flags of 0.
fn versioned(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[0; 4], content].concat())
}

impl File {
    /// A grid of so many columns, rows, and pixels across and down; what its tiles are is given for each.
    pub fn grid(columns: usize, rows: usize, size: (u32, u32), tile: impl Fn(usize) -> Item) -> Self {
        let mut data = vec![0, 1, rows as u8 - 1, columns as u8 - 1];
        data.extend([size.0.to_be_bytes(), size.1.to_be_bytes()].concat());
        let mut items = vec![Item { kind: *b"grid", data, ..Item::default() }];
        items.extend((0..columns * rows).map(tile));
        let references = vec![(b"dimg", 1, (2..=(columns * rows) as u16 + 1).collect())];
        Self { items, references }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let ftyp = boxed(b"ftyp", b"heic\0\0\0\0mif1heic");
        let size = self.meta(0).len();
        let data: Vec<u8> = self.items.iter().flat_map(|item| item.data.clone()).collect();
        [ftyp.clone(), self.meta(ftyp.len() + size + 8), boxed(b"mdat", &data)].concat()
    }

    /// `at` is where the first item's data is.
    fn meta(&self, mut at: usize) -> Vec<u8> {
        let count = (self.items.len() as u16).to_be_bytes();
        let numbered = || (1_u16..).zip(&self.items);
        let mut infos = count.to_vec();
        let mut places = [&[0x44, 0], &count[..]].concat();
        let mut list: Vec<&Vec<u8>> = Vec::new();
        let mut associations = u32::from(self.items.len() as u16).to_be_bytes().to_vec();
        for (id, item) in numbered() {
            let info = [&[2, 0, 0, 0], &id.to_be_bytes()[..], &[0, 0], &item.kind, &[0]].concat();
            infos.extend(boxed(b"infe", &info));
            places.extend([&id.to_be_bytes()[..], &[0, 0, 0, 1]].concat());
            places.extend([(at as u32).to_be_bytes(), (item.data.len() as u32).to_be_bytes()].concat());
            at += item.data.len();
            associations.extend([&id.to_be_bytes()[..], &[item.properties.len() as u8]].concat());
            for property in &item.properties {
                let index = list.iter().position(|other| *other == property).unwrap_or(list.len());
                if index == list.len() {
                    list.push(property);
                }
                associations.push(index as u8 + 1);
            }
        }
        let references = self.references.iter().flat_map(|(kind, from, to)| {
            let to = to.iter().flat_map(|to| to.to_be_bytes());
            let content = [from.to_be_bytes(), (to.clone().count() as u16 / 2).to_be_bytes()].concat();
            boxed(kind, &content.into_iter().chain(to).collect::<Vec<_>>())
        });
        let list: Vec<u8> = list.into_iter().flatten().copied().collect();
        let properties = [boxed(b"ipco", &list), versioned(b"ipma", &associations)].concat();
        let parts = [
            versioned(b"hdlr", b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            versioned(b"pitm", &1_u16.to_be_bytes()),
            versioned(b"iinf", &infos),
            versioned(b"iref", &references.collect::<Vec<_>>()),
            boxed(b"iprp", &properties),
            versioned(b"iloc", &places),
        ];
        versioned(b"meta", &parts.concat())
    }
}

/// The one picture of a file: its `hvcC` box, and its data.
pub fn picture(file: &[u8]) -> Item {
    let at = file.windows(4).position(|bytes| bytes == b"hvcC").unwrap() - 4;
    let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let mdat = file.windows(4).position(|bytes| bytes == b"mdat").unwrap() + 4;
    Item { kind: *b"hvc1", data: file[mdat..].to_vec(), properties: vec![file[at..at + length].to_vec()] }
}
