//! Components crafted from text: a core module that keeps the contract by hand, with holes for
//! misbehaviour, encoded against the real WIT or a changed one.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract's WIT in one document.
fn wit() -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("the WIT");
    // One package header is enough for one document.
    let worlds = read("worlds.wit").replacen("package caisson:plugin@0.1.0;", "", 1);
    let nn = read("deps/wasi-nn/wasi-nn.wit");
    let (header, body) = nn.split_once(';').expect("a package header");
    format!("{}\n{worlds}\n{header} {{\n{body}\n}}\n", read("types.wit"))
}

/// A plugin that gives its input back, and what can be changed about it.
pub(crate) struct Craft {
    world: String,
    wit: String,
    memory: &'static str,
    items: String,
    describe: String,
    configure: String,
    apply: String,
    name: String,
}

impl Craft {
    pub(crate) fn new() -> Self {
        Self {
            world: "transform".into(),
            wit: wit(),
            memory: "1",
            items: String::new(),
            describe: String::new(),
            configure: String::new(),
            apply: String::new(),
            name: "crafted".into(),
        }
    }

    /// Built against another version of the contract.
    pub(crate) fn wit_version(mut self, version: &str) -> Self {
        self.wit = self
            .wit
            .replace("caisson:plugin@0.1.0", &format!("caisson:plugin@{version}"));
        self
    }

    /// Also imports `import`, which `packages` define.
    pub(crate) fn import(mut self, import: &str, packages: &str) -> Self {
        self.wit += &format!("\nworld crafted {{ include transform; {import} }}\n{packages}\n");
        self.world = "crafted".into();
        self
    }

    /// The name in the manifest.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Pages of memory.
    pub(crate) fn memory(mut self, pages: &'static str) -> Self {
        self.memory = pages;
        self
    }

    /// More items of the core module; imports among them come first.
    pub(crate) fn items(mut self, items: &str) -> Self {
        self.items += items;
        self
    }

    /// Instructions at the start of `describe`.
    pub(crate) fn describe(mut self, instructions: &str) -> Self {
        self.describe += instructions;
        self
    }

    /// Instructions at the start of `configure`.
    pub(crate) fn configure(mut self, instructions: &str) -> Self {
        self.configure += instructions;
        self
    }

    /// Instructions at the start of `apply`; parameters `$rows`, `$blocks`, `$count`, and a local
    /// `$i`.
    pub(crate) fn apply(mut self, instructions: &str) -> Self {
        self.apply += instructions;
        self
    }

    fn module(&self) -> String {
        let Self {
            memory,
            items,
            describe,
            configure,
            apply,
            name,
            ..
        } = self;
        let length = name.len();
        let name: String = name.bytes().map(|b| format!("\\{b:02x}")).collect();
        format!(
            r#"(module
            {items}
            (memory (export "memory") {memory})
            (global $top (mut i32) (i32.const 8192))
            (data (i32.const 1024) "{name}")
            (data (i32.const 2048) "1.0.0")
            (data (i32.const 2064) "{{}}")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (block $enough
                    (loop $more
                        (br_if $enough (i32.le_u (global.get $top) (i32.shl (memory.size) (i32.const 16))))
                        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                        (br $more)))
                (local.get $at))
            (func (export "describe") (result i32)
                {describe}
                (i32.store (i32.const 64) (i32.const 1024)) (i32.store (i32.const 68) (i32.const {length}))
                (i32.store (i32.const 72) (i32.const 2048)) (i32.store (i32.const 76) (i32.const 5))
                (i32.store8 (i32.const 80) (i32.const 0))
                (i32.store (i32.const 84) (i32.const 2064)) (i32.store (i32.const 88) (i32.const 2))
                (i32.store (i32.const 92) (i32.const 2064)) (i32.store (i32.const 96) (i32.const 2))
                (i32.const 64))
            (func (export "configure") (param $config i32) (param i32) (param $fields i32) (param $count i32) (result i32)
                {configure}
                (i32.store (i32.const 128) (i32.const 0))
                (i32.store (i32.const 132) (local.get $fields))
                (i32.store (i32.const 136) (local.get $count))
                (i32.const 128))
            (func (export "apply") (param $rows i32) (param $blocks i32) (param $count i32) (result i32) (local $i i32)
                {apply}
                (i32.store (i32.const 192) (i32.const 0))
                (i32.store (i32.const 196) (local.get $rows))
                (i32.store (i32.const 200) (local.get $blocks))
                (i32.store (i32.const 204) (local.get $count))
                (i32.const 192)))"#
        )
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.module()).expect("a module");
        let mut resolve = Resolve::default();
        let package = resolve.push_str("crafted.wit", &self.wit).expect("WIT");
        let world = resolve
            .select_world(&[package], Some(&self.world))
            .expect("a world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        ComponentEncoder::default()
            .module(&module)
            .expect("a module")
            .validate(true)
            .encode()
            .expect("a component")
    }
}

/// A component in text form that exports what a transform exports, and `items` before that. Its
/// functions have the wrong types.
pub(crate) fn raw(items: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            {items}
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (export "describe" (func $f)) (export "configure" (func $f)) (export "apply" (func $f)))"#
    );
    wat::parse_str(text).expect("a component")
}
