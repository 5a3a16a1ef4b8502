package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.sightline.Sightline;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code sightline inspect}: what a model, adapter or dataset holds. */
@Command(
    name = "inspect",
    description = "Print what a model, a PEFT adapter, an RLDS dataset or a run of finetune holds.",
    mixinStandardHelpOptions = true,
    usageHelpAutoWidth = true)
final class InspectCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      paramLabel = "PATH",
      converter = Converters.Model.class,
      description =
          "Folder of a model, adapter, dataset or run; a safetensors file or the index of several.")
  private Path path;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    Sightline.load();
    Inspection inspection = Inspections.of(path);
    PrintWriter out = spec.commandLine().getOut();
    out.print(json ? inspection.toJson() + "\n" : inspection.toText());
    out.flush();
    return 0;
  }
}
