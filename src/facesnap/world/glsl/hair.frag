// Kajiya-Kay with a shell normal for the broad light and dark.
in vec3 v_world;
in vec3 v_tangent;
in vec3 v_strand;
in vec3 v_shell;
uniform vec3 u_hair;
uniform float u_shine;
out vec4 f_colour;
void main() {
    vec3 t = normalize(v_tangent);
    vec3 v = to_camera(v_world);
    vec3 shell = normalize(v_shell);
    float shadow = lit(v_world, shell);
    float along_light = dot(t, u_key_direction);
    float round_light = sqrt(max(1.0 - along_light * along_light, 0.0));
    float broad = clamp(dot(shell, u_key_direction) * 0.65 + 0.35, 0.0, 1.0);
    vec3 colour = u_hair * v_strand.z * mix(0.50, 1.0, smoothstep(0.0, 0.45, v_strand.x));
    vec3 light = u_key * broad * mix(0.55, 1.0, round_light) * mix(0.35, 1.0, shadow)
        + u_fill * clamp(dot(shell, u_fill_direction) * 0.6 + 0.4, 0.0, 1.0) + mix(u_ground, u_sky, shell.y * 0.5 + 0.5);
    vec3 h = normalize(v + u_key_direction);
    float th = dot(t, h) + 0.12 * (v_strand.z - 1.0);
    float spec = pow(sqrt(max(1.0 - th * th, 0.0)), 60.0) * broad * shadow;
    vec3 c = colour * light * (1.0 - 0.25 * abs(v_strand.y)) + u_shine * spec * u_key * (u_hair * 0.8 + 0.05);
    f_colour = developed(c, u_class);
}
