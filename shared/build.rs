//! Compiles `proto/` with protox: no `protoc` needed. The descriptor set is kept for reflection.

use std::path::PathBuf;

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
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
