//! Berkeley DB files, read and written without libdb.
//!
//! Reads hash files of versions 5 to 10 and btree files of versions 6 to 10 (Berkeley DB 2 to 18) and
//! both kinds of DB 1.85, in either byte order, with overflow items and duplicates on and off the page.
//! Writes version 9 of both kinds ([`build`]), as Berkeley DB 5.3 does.
//!
//! A file is foreign bytes: every offset is checked, and each look-up or walk has a budget of pages
//! to visit, which a sound file cannot use up. So a damaged file gives an error, never a loop.

mod btree;
pub mod build;
mod build_btree;
mod build_hash;
mod hash;
mod old_btree;
mod old_hash;
mod page;

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use page::{Pages, Source};

/// The longest key or value that is given out, in bytes.
pub const ITEM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The two kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Extended linear hashing.
    Hash,
    /// A sorted tree.
    Btree,
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No Berkeley DB file, or one too short to be one.
    #[error("not a Berkeley DB file")]
    NotDatabase,
    /// A file of a sort that mail never uses.
    #[error("a Berkeley DB file with {0}, which is not supported")]
    Unsupported(&'static str),
    /// The file contradicts itself.
    #[error("damaged at page {page}: {what}")]
    Damaged {
        /// The page.
        page: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A file that is open.
#[derive(Debug)]
pub struct Database {
    pages: Pages,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Hash(hash::Table),
    Btree(btree::Tree),
    OldHash(old_hash::Table),
    OldBtree(old_btree::Tree),
}

/// What is called for each pair of a walk.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

impl Database {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_file(File::open(path)?)
    }

    /// Takes a file that is open already.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_file(file: File) -> Result<Self, Error> {
        Self::from_source(Source::File(file))
    }

    /// Reads from memory.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::from_source(Source::Memory(bytes))
    }

    fn from_source(source: Source) -> Result<Self, Error> {
        let head = source.head()?;
        if let Some(table) = old_hash::Table::read(&head)? {
            let pages = Pages::new(source, table.layout())?;
            return Ok(Self { pages, shape: Shape::OldHash(table) });
        }
        if let Some((layout, tree)) = old_btree::Tree::read(&head)? {
            let pages = Pages::new(source, layout)?;
            return Ok(Self { pages, shape: Shape::OldBtree(tree) });
        }
        let meta = page::Meta::read(&head)?;
        let pages = Pages::new(source, meta.layout)?;
        let shape = match meta.kind {
            Kind::Hash => Shape::Hash(hash::Table::read(&head, &meta)?),
            Kind::Btree => Shape::Btree(btree::Tree::read(&head, &meta)?),
        };
        Ok(Self { pages, shape })
    }

    /// Which kind of file it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.shape {
            Shape::Hash(_) | Shape::OldHash(_) => Kind::Hash,
            Shape::Btree(_) | Shape::OldBtree(_) => Kind::Btree,
        }
    }

    /// The number of hash buckets, if it is a hash file of version 7 or later.
    #[must_use]
    pub const fn buckets(&self) -> Option<u32> {
        match &self.shape {
            Shape::Hash(table) => table.buckets(),
            Shape::Btree(_) | Shape::OldHash(_) | Shape::OldBtree(_) => None,
        }
    }

    /// Whether the file was made to hold several values of one key.
    #[must_use]
    pub const fn allows_duplicates(&self) -> bool {
        match &self.shape {
            Shape::Hash(table) => table.has_duplicates,
            Shape::Btree(tree) => tree.has_duplicates,
            Shape::OldHash(_) | Shape::OldBtree(_) => false,
        }
    }

    /// The (first) value of a key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn lookup(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut first = None;
        self.values(key, &mut |_, value| {
            first = Some(value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// Every value of a key, in their order, until `visit` has enough.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn values(&mut self, key: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.pages.allow(4, 1024);
        match &self.shape {
            Shape::Hash(table) => table.values(&mut self.pages, key, visit),
            Shape::Btree(tree) => tree.values(&mut self.pages, key, visit),
            Shape::OldHash(table) => table.values(&mut self.pages, key, visit),
            Shape::OldBtree(tree) => tree.values(&mut self.pages, key, visit),
        }
    }

    /// Every pair, in the order in which libdb's cursor gives them, until `visit` has enough.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.pages.allow(3, 64);
        match &self.shape {
            Shape::Hash(table) => table.each(&mut self.pages, visit),
            Shape::Btree(tree) => tree.each(&mut self.pages, visit),
            Shape::OldHash(table) => table.each(&mut self.pages, visit),
            Shape::OldBtree(tree) => tree.each(&mut self.pages, visit),
        }
    }
}
