package org.sightline.vla.finetune;

import java.io.PrintWriter;
import java.util.Locale;
import org.sightline.formats.Printable;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.teacher.cache.CachedTeacher;

/** Lines that tell what the data are and what became of them. */
public final class DataReport {
  private DataReport() {}

  /** Before a run: the datasets and what can be said of them so far. */
  static void describe(PrintWriter out, VlaData data) {
    for (VlaData.Part part : data.parts()) {
      out.printf(
          Locale.ROOT,
          "data     %s: %d episodes for training, %d held out%n",
          Printable.of(part.dataset().name()),
          part.split().train().length,
          part.split().eval().length);
    }
    leftOut(out, data);
  }

  /** What was left out; nothing if nothing was. */
  static void leftOut(PrintWriter out, VlaData data) {
    for (VlaData.Part part : data.parts()) {
      leftOut(out, part.dataset());
    }
  }

  /** As above, of one dataset. */
  public static void leftOut(PrintWriter out, RldsDataset dataset) {
    String line = dataset.leftOut().describe();
    if (!line.isEmpty()) {
      out.println(Printable.of("skipped  " + dataset.name() + ": " + line));
    }
  }

  /** After a run: how long training stood still for want of a batch. */
  static void waited(PrintWriter out, String mode, double waited, double seconds) {
    out.printf(Locale.ROOT, "%-8s waited %.1f s of %.1f s for data%n", mode, waited, seconds);
    out.flush();
  }

  /** After a run: how the cache served. */
  static void cache(PrintWriter out, CachedTeacher teacher) {
    CachedTeacher.Counters counters = teacher.counters();
    out.printf(
        Locale.ROOT,
        "Teacher cache: %d hits, %d misses (%.1f %% hits), teacher asked for %d; %d pictures of %d"
            + " bytes in %s%n",
        counters.hits(),
        counters.misses(),
        100 * counters.hitRate(),
        counters.asked(),
        teacher.store().size(),
        teacher.store().kind().entryBytes(),
        Printable.of(teacher.store().folder()));
    if (counters.damaged() > 0) {
      out.printf(
          Locale.ROOT, "Teacher cache: %d damaged entries computed anew%n", counters.damaged());
    }
    if (teacher.store().writeFailure() != null) {
      out.println(
          Printable.of("Teacher cache: nothing more is stored, " + teacher.store().writeFailure()));
    }
  }
}
