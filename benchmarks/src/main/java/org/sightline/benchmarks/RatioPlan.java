package org.sightline.benchmarks;

import java.util.ArrayList;
import java.util.List;

/** Which comparisons the table holds. */
final class RatioPlan {
  /**
   * One row to measure.
   *
   * @param warm whether the caches may hold the operands from the run before
   */
  record Entry(WorkloadId id, boolean warm) {
    /** Written as {@code id} or {@code id@cold}. */
    @Override
    public String toString() {
      return warm ? id.toString() : id + "@cold";
    }

    static Entry parse(String text) {
      boolean cold = text.endsWith("@cold");
      return new Entry(WorkloadId.parse(cold ? text.substring(0, text.length() - 5) : text), !cold);
    }

    /** Rows of a group run in one process, under the setting that suits libtorch best there. */
    String group() {
      return id.family() + " " + id.dtype();
    }

    /** Share of the time: large shapes need more of it for the same number of rounds. */
    double weight() {
      return id.family().equals("openvla-7b") ? 3 : 1;
    }
  }

  private RatioPlan() {}

  /** The standard table. */
  static List<Entry> standard() {
    List<String> rows = new ArrayList<>();
    rows.add("native-call/nano/-/fp32");
    rows.add("descriptor/nano/-/fp32");
    for (String dtype : List.of("fp32", "bf16")) {
      for (String kind : List.of("alignment-call/", "alignment/")) {
        for (int m : new int[] {64, 256, 1024, 4096}) {
          rows.add(kind + "nano/" + m + "/" + dtype);
        }
        rows.add(kind + "nano/256/" + dtype + "@cold");
      }
      for (int m : new int[] {64, 256, 1024, 4096}) {
        rows.add("alignment/openvla-7b/" + m + "/" + dtype);
      }
      for (String pass : List.of("lora-forward/", "lora-backward/")) {
        for (String kind : List.of(".attn/512/", ".qkv/512/")) {
          rows.add(pass + "nano" + kind + dtype);
        }
        for (String kind : List.of(".attn/256/", ".qkv/256/", ".up/256/", ".down/256/")) {
          rows.add(pass + "openvla-7b" + kind + dtype);
        }
      }
    }
    rows.add("adamw/nano/-/fp32");
    rows.add("adamw/openvla-7b/-/fp32");
    return rows.stream().map(Entry::parse).toList();
  }

  /** What stands for a group of rows when thread settings are compared, by group. */
  static Entry probe(String group) {
    String[] familyAndDtype = group.split(" ");
    return Entry.parse("alignment/" + familyAndDtype[0] + "/256/" + familyAndDtype[1]);
  }
}
