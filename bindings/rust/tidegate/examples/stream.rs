//! Streams frames through a model: `stream MODEL.tide < FRAMES > ANSWERS`, float32 in and out, one frame per push.

use std::error::Error;
use std::io::{self, BufRead, Read, Write};

use tidegate::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: stream MODEL.tide < FRAMES > ANSWERS")?;
    let plan = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let model = Model::load(&plan)?;
    let mut stream = model.stream();
    let mut bytes = vec![0; 4 * model.width()];
    let mut answers = vec![0.0; stream.answers(1, 0)];
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while !input.fill_buf()?.is_empty() {
        input.read_exact(&mut bytes)?; // half a frame at the end is an error
        let frame: Vec<f32> = bytes.chunks(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect();
        stream.push(&frame, &mut [&mut answers])?;
        for answer in &answers {
            output.write_all(&answer.to_le_bytes())?;
        }
    }
    Ok(())
}
