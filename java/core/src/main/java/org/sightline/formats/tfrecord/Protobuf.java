package org.sightline.formats.tfrecord;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * Messages of Protocol Buffers field by field: those of TensorFlow that matter here are few and
 * small, and deserve no code generator.
 */
final class Protobuf {
  /** Writes the fields of a message. */
  interface Writer {
    void write(CodedOutputStream out) throws IOException;
  }

  /** Reads a field of a message. */
  interface Reader {
    /**
     * @param tag 8 · number of the field + its wire type
     * @return false, with nothing read, if the field is not known
     */
    boolean read(int tag) throws IOException;
  }

  private Protobuf() {}

  static byte[] message(Writer fields) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    CodedOutputStream out = CodedOutputStream.newInstance(bytes);
    try {
      fields.write(out);
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException("memory cannot fail to be written", e);
    }
    return bytes.toByteArray();
  }

  /** Reads all fields up to the end of what {@code in} is limited to; unknown ones are skipped. */
  static void fields(CodedInputStream in, Reader fields) throws IOException {
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      if (!fields.read(tag)) {
        in.skipField(tag);
      }
    }
  }

  /** As {@link #fields}, of a message that is a field. */
  static boolean message(CodedInputStream in, Reader fields) throws IOException {
    int outer = in.pushLimit(length(in));
    fields(in, fields);
    in.popLimit(outer);
    return true;
  }

  /** The length of a field, which must fit into what is left of the message around it. */
  static int length(CodedInputStream in) throws IOException {
    int length = in.readRawVarint32();
    if (length < 0 || length > in.getBytesUntilLimit()) {
      throw new IOException(
          "length %s, only %d bytes left"
              .formatted(Integer.toUnsignedString(length), in.getBytesUntilLimit()));
    }
    return length;
  }
}
