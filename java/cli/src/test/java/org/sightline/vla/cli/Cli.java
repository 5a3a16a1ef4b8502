package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One run of the command line within the test's JVM. */
public record Cli(int exitCode, String out, String err) {
  /** Arguments are separated by single spaces. */
  public static Cli run(String arguments) {
    return of(arguments.isEmpty() ? new String[0] : arguments.split(" "));
  }

  /** Arguments may have spaces of their own. */
  public static Cli of(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.execute(new PrintWriter(out), new PrintWriter(err), arguments);
    return new Cli(code, out.toString(), err.toString());
  }

  /** A run that must end well. */
  public static Cli succeed(String arguments) {
    Cli cli = run(arguments);
    assertEquals(0, cli.exitCode, () -> arguments + "\n" + cli.out + cli.err);
    return cli;
  }

  /** What a run that ended well printed. */
  public JsonObject json() {
    assertEquals(0, exitCode, err);
    return JsonParser.parseString(out).getAsJsonObject();
  }

  /** Rows by column name; fields without quotes or commas in them. */
  public static List<Map<String, String>> csv(Path file) throws IOException {
    List<String> lines = Files.readAllLines(file);
    String[] names = lines.get(0).split(",", -1);
    List<Map<String, String>> rows = new ArrayList<>();
    for (String line : lines.subList(1, lines.size())) {
      String[] values = line.split(",", -1);
      Map<String, String> row = new LinkedHashMap<>();
      for (int i = 0; i < names.length; i++) {
        row.put(names[i], values[i]);
      }
      rows.add(row);
    }
    return rows;
  }
}
