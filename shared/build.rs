//! Compiles `proto/` with protox: no `protoc` needed. The descriptor set is kept for reflection.
//! Trains the prompt classifier's weights from its labels, with the library's own code.

use std::path::{Path, PathBuf};

#[path = "src/prompt"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the library's source: more than the build needs"
)]
mod prompt {
    pub mod head;
    pub mod signs;
    pub mod task;
    pub mod train;
    pub mod words;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../proto";
    let packages = ["discovery", "telemetry", "ledger", "admin"];
    let files = packages.map(|name| format!("{root}/godwit/{name}/v1/{name}.proto"));
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(files, [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .extern_path(
            ".godwit.discovery.v1.ControlMessage",
            "crate::proto::pushed::ControlMessage",
        )
        .compile_fds(descriptors)?;
    train_prompts(&out)
}

fn train_prompts(out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=src/prompt");
    let read = |name: &str| std::fs::read_to_string(Path::new("src/prompt").join(name));
    let labels = prompt::train::read(&read("labels.tsv")?)?;
    let words = prompt::train::read_words(&read("words.tsv")?)?;
    let weights = prompt::train::train(labels.iter().chain(&words));
    std::fs::write(out.join("prompt-head.bin"), prompt::train::blob(&weights))?;
    Ok(())
}
