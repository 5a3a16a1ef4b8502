package org.sightline.formats.peft;

import java.util.List;
import java.util.Objects;

/**
 * A set of modules in the three ways PEFT's {@code target_modules} can say it (and, but for the
 * last, {@code exclude_modules}).
 */
public sealed interface ModuleFilter {
  /** PEFT's word for {@link AllLinear}. */
  String ALL_LINEAR = "all-linear";

  /** Whether the module of this full name is one of them. */
  boolean matches(String module);

  /**
   * Modules that have one of these names, or whose name ends in a dot and one of them.
   *
   * @param names at least one: last components ({@code q_proj}) or longer ones up to full names
   */
  record Names(List<String> names) implements ModuleFilter {
    public Names {
      names = List.copyOf(names);
      if (names.isEmpty()) {
        throw new IllegalArgumentException("names: found none, expected at least one");
      }
    }

    @Override
    public boolean matches(String module) {
      return names.stream().anyMatch(name -> endsIn(module, name));
    }

    private static boolean endsIn(String module, String name) {
      int start = module.length() - name.length();
      return module.endsWith(name) && (start == 0 || module.charAt(start - 1) == '.');
    }
  }

  /**
   * Modules whose full name matches from start to end.
   *
   * @param expression in the syntax of Python's {@code re}
   */
  record Regex(String expression) implements ModuleFilter {
    public Regex {
      PythonRegex.compile(expression);
    }

    @Override
    public boolean matches(String module) {
      return PythonRegex.compile(expression).matches(module);
    }
  }

  /** Every linear layer of the model, which no name alone can tell: matches any module. */
  record AllLinear() implements ModuleFilter {
    @Override
    public boolean matches(String module) {
      Objects.requireNonNull(module, "module");
      return true;
    }
  }

  /** As it stands in JSON: a list of names, an expression, or {@value #ALL_LINEAR}. */
  static Object toJson(ModuleFilter filter) {
    if (filter instanceof Names names) {
      return names.names();
    }
    return filter instanceof Regex regex ? regex.expression() : ALL_LINEAR;
  }
}
