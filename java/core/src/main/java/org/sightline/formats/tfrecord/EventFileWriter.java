package org.sightline.formats.tfrecord;

import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/**
 * Writes scalars to a TensorBoard event file: a TFRecord file of {@code Event} messages
 * (tensorflow/core/util/event.proto, framework/summary.proto), the first of which states the
 * version. TensorBoard takes a file for one if its name contains {@code tfevents}. Not thread-safe.
 */
public final class EventFileWriter implements Closeable {
  private static final String VERSION = "brain.Event:2";

  // Numbers of the fields.
  private static final int EVENT_WALL_TIME = 1;
  private static final int EVENT_STEP = 2;
  private static final int EVENT_FILE_VERSION = 3;
  private static final int EVENT_SUMMARY = 5;
  private static final int SUMMARY_VALUE = 1;
  private static final int VALUE_TAG = 1;
  private static final int VALUE_SIMPLE_VALUE = 2;

  private final TfRecordWriter records;

  /**
   * Goes on with a file after its first {@code keep} bytes; 0: begins a new one.
   *
   * @throws IOException if the file is shorter than that or cannot be written
   */
  public EventFileWriter(Path file, long keep) throws IOException {
    records = new TfRecordWriter(file, keep);
    if (keep == 0) {
      write(event -> event.writeString(EVENT_FILE_VERSION, VERSION));
    }
  }

  private void write(Protobuf.Writer content) throws IOException {
    records.write(
        Protobuf.message(
            event -> {
              event.writeDouble(EVENT_WALL_TIME, System.currentTimeMillis() * 1e-3);
              content.write(event);
            }));
    records.flush();
  }

  /**
   * Appends scalars of one step and hands them to the system; they are rounded to fp32, as the
   * format has it.
   */
  public void scalars(long step, Map<String, Double> values) throws IOException {
    byte[] summary =
        Protobuf.message(
            out -> {
              for (Map.Entry<String, Double> scalar : values.entrySet()) {
                out.writeByteArray(
                    SUMMARY_VALUE,
                    Protobuf.message(
                        value -> {
                          value.writeString(VALUE_TAG, scalar.getKey());
                          value.writeFloat(VALUE_SIMPLE_VALUE, scalar.getValue().floatValue());
                        }));
              }
            });
    write(
        event -> {
          event.writeInt64(EVENT_STEP, step);
          event.writeByteArray(EVENT_SUMMARY, summary);
        });
  }

  /** Makes everything written durable and tells the file's size in bytes. */
  public long force() throws IOException {
    return records.force();
  }

  @Override
  public void close() throws IOException {
    records.close();
  }
}
