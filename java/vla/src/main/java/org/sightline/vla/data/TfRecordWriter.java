package org.sightline.vla.data;

import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes a TFRecord file, the counterpart of {@link TfRecordReader}. Not thread-safe. */
public final class TfRecordWriter implements Closeable {
  private final OutputStream out;
  private final ByteBuffer frame =
      ByteBuffer.allocate(TfRecordReader.HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);

  /** Creates the file, or empties an existing one. */
  public TfRecordWriter(Path file) throws IOException {
    out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 16);
  }

  /** Appends one record. */
  public void write(byte[] data) throws IOException {
    frame.putLong(0, data.length).putInt(8, MaskedCrc32c.of(frame.array(), 0, 8));
    out.write(frame.array());
    out.write(data);
    frame.putInt(0, MaskedCrc32c.of(data, 0, data.length));
    out.write(frame.array(), 0, TfRecordReader.FOOTER_BYTES);
  }

  @Override
  public void close() throws IOException {
    out.close();
  }
}
