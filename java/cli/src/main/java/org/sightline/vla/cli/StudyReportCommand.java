package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.sightline.formats.file.InputFile;
import org.sightline.study.report.Contrast;
import org.sightline.study.report.Experiment;
import org.sightline.study.report.StudyReport;
import org.sightline.study.rollout.Rollouts;
import org.sightline.study.task.Task;
import org.sightline.vla.checkpoint.PathChecks;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline study report}: arms of an experiment beside each other and the paper. */
@Command(
    name = "report",
    description = {
      "Compare what study rollout left of several arms: report.html and report.json.",
      "All runs must be of the same tasks and scenes, the n-th run of each arm of one training"
          + " seed."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class StudyReportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--arm",
      paramLabel = "NAME=DIR[,DIR...]",
      required = true,
      description =
          "An arm and its folders of study rollout, one a training seed; the first arm is the"
              + " baseline.")
  private List<String> arms;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      required = true,
      description = "Folder for the report; made if it is not there.")
  private Path output;

  @Option(
      names = "--sheets",
      defaultValue = "in_distribution,shape",
      paramLabel = "NAMES",
      description = "Tasks of which the report shows episodes, where there are frames.")
  private String sheets;

  @Option(names = "--json", description = "Print report.json instead of a line a test.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    PathChecks.canBeFolder("output", output);
    StudyRolloutCommand.requireNew(output, StudyReport.JSON);
    List<Task> shown = Task.parse(sheets);
    Map<String, List<Rollouts>> runs = new LinkedHashMap<>();
    Map<String, Path> pictures = new LinkedHashMap<>();
    for (String arm : arms) {
      int split = arm.indexOf('=');
      String name = arm.substring(0, Math.max(0, split));
      if (name.isEmpty() || runs.containsKey(name)) {
        throw new IllegalArgumentException(
            "--arm must be a new NAME=DIR,DIR, found \"" + arm + "\"");
      }
      List<Path> folders =
          List.of(arm.substring(split + 1).split(",")).stream().map(Path::of).toList();
      runs.put(name, read(folders));
      for (Task task : shown) {
        Path sheet = folders.get(0).resolve(task.name().toLowerCase(Locale.ROOT) + ".png");
        if (InputFile.exists(sheet)) {
          pictures.put(name + ", " + task.label(), sheet);
        }
      }
    }
    Experiment experiment = Experiment.of(runs);
    Files.createDirectories(output);
    StudyReport.write(output, experiment, pictures);
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.print(Files.readString(output.resolve(StudyReport.JSON)));
      out.flush();
      return 0;
    }
    for (int i = 0; i < experiment.contrasts().size(); i++) {
      Contrast contrast = experiment.contrasts().get(i);
      out.printf(
          Locale.ROOT,
          "%-60s p %.4f, corrected %.4f%n",
          contrast.sentence(),
          contrast.pairs().p(),
          experiment.adjusted()[i]);
    }
    out.println(output.resolve("report.html"));
    out.flush();
    return 0;
  }

  private static List<Rollouts> read(List<Path> folders) throws IOException {
    List<Rollouts> runs = new ArrayList<>();
    for (Path folder : folders) {
      PathChecks.exists("arm", folder);
      runs.add(Rollouts.read(folder.resolve(Rollouts.FILE)));
    }
    return runs;
  }
}
