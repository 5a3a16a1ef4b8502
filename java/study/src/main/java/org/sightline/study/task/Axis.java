package org.sightline.study.task;

/** What a task tests. */
public enum Axis {
  IN_DISTRIBUTION("in distribution"),
  SEMANTICS("semantics"),
  VISION("vision"),
  EXECUTION("execution"),
  BOARDS("VL-Think");

  private final String label;

  Axis(String label) {
    this.label = label;
  }

  /** Its name in tables. */
  public String label() {
    return label;
  }
}
