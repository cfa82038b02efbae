//! What the database of a chain without a folder lies in.

use std::{
    fmt, io,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use redb::StorageBackend;

/// The bytes of a segment.
const SEGMENT: usize = 1 << 20;

/// A file in memory, in segments: it grows without being copied, and what was never
/// written takes no memory. Growing costs more than everything else that is done with
/// it where all of it lies at one place, for it at least doubles each time.
#[derive(Default)]
pub(super) struct Segments(RwLock<File>);

#[derive(Default)]
struct File {
    length: usize,
    /// `None` where only zeros are.
    segments: Vec<Option<Box<[u8]>>>,
}

impl File {
    /// Where a range begins that the file has to have.
    fn begin(&self, offset: u64, length: usize) -> Result<usize, io::Error> {
        let begin = usize::try_from(offset).ok();
        begin
            .filter(|begin| begin.checked_add(length).is_some_and(|end| end <= self.length))
            .ok_or_else(outside)
    }

    fn read(&self, mut at: usize, mut out: &mut [u8]) {
        while !out.is_empty() {
            let (piece, rest) = out.split_at_mut(out.len().min(SEGMENT - at % SEGMENT));
            let segment = self.segments.get(at / SEGMENT).and_then(Option::as_deref);
            let begin = at % SEGMENT;
            match segment.and_then(|segment| segment.get(begin..begin + piece.len())) {
                Some(bytes) => piece.copy_from_slice(bytes),
                None => piece.fill(0),
            }
            at += piece.len();
            out = rest;
        }
    }

    fn write(&mut self, mut at: usize, mut data: &[u8]) {
        while !data.is_empty() {
            let (piece, rest) = data.split_at(data.len().min(SEGMENT - at % SEGMENT));
            let (index, begin) = (at / SEGMENT, at % SEGMENT);
            if self.segments.len() <= index {
                self.segments.resize_with(index + 1, || None);
            }
            if let Some(segment) = self.segments.get_mut(index) {
                let segment = segment.get_or_insert_with(|| vec![0; SEGMENT].into_boxed_slice());
                if let Some(place) = segment.get_mut(begin..begin + piece.len()) {
                    place.copy_from_slice(piece);
                }
            }
            at += piece.len();
            data = rest;
        }
    }

    fn set_len(&mut self, length: usize) {
        self.length = length;
        self.segments.truncate(length.div_ceil(SEGMENT));
        // Where it grows again, there are zeros.
        if let Some(Some(last)) = self.segments.get_mut(length / SEGMENT) {
            last.iter_mut().skip(length % SEGMENT).for_each(|byte| *byte = 0);
        }
    }
}

impl Segments {
    fn reading(&self) -> RwLockReadGuard<'_, File> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, File> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Segments {
    fn len(&self) -> Result<u64, io::Error> {
        u64::try_from(self.reading().length).map_err(|_| outside())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let file = self.reading();
        file.read(file.begin(offset, out.len())?, out);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.writing().set_len(usize::try_from(length).map_err(|_| outside())?);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut file = self.writing();
        let at = file.begin(offset, data.len())?;
        file.write(at, data);
        Ok(())
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").field("length", &self.reading().length).finish_non_exhaustive()
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "outside of the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 7] = [0, 1, 4096, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 77];

    fn contents(file: &Segments) -> Vec<u8> {
        let length = file.len().unwrap();
        let mut bytes = vec![1; usize::try_from(length).unwrap()];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn it_holds_what_one_piece_of_memory_would() {
        let (file, mut plain) = (Segments::default(), Vec::new());
        for (round, length) in (1_u8..).zip(LENGTHS.into_iter().chain(LENGTHS.into_iter().rev())) {
            file.set_len(length as u64).unwrap();
            plain.resize(length, 0);
            assert!(contents(&file) == plain, "{length} bytes");
            for begin in LENGTHS.into_iter().filter(|begin| *begin < length) {
                let data = vec![round; (length - begin).min(SEGMENT + 3)];
                file.write(begin as u64, &data).unwrap();
                plain[begin..begin + data.len()].copy_from_slice(&data);
                let mut read = vec![0; data.len()];
                file.read(begin as u64, &mut read).unwrap();
                assert!(read == data, "{} bytes at {begin}", data.len());
            }
            assert!(contents(&file) == plain, "{length} bytes");
        }
    }

    #[test]
    fn it_ends_where_it_ends() {
        let file = Segments::default();
        file.set_len(100).unwrap();
        assert!(file.write(99, &[1]).is_ok());
        assert!(file.write(99, &[1, 2]).is_err());
        assert!(file.write(u64::MAX, &[1]).is_err());
        assert!(file.read(100, &mut []).is_ok());
        assert!(file.read(100, &mut [0]).is_err());
        assert!(file.read(u64::MAX, &mut [0]).is_err());
    }

    #[test]
    fn what_was_not_written_takes_no_memory() {
        let file = Segments::default();
        file.set_len(1 << 40).unwrap();
        file.write((1 << 30) + 5, &[7]).unwrap();
        let mut read = [0; 2];
        file.read((1 << 30) + 5, &mut read).unwrap();
        assert_eq!(read, [7, 0]);
        file.read(1 << 39, &mut read).unwrap();
        assert_eq!(read, [0, 0]);
        assert_eq!(file.reading().segments.iter().flatten().count(), 1);
    }
}
