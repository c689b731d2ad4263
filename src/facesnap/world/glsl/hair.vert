// Ribbons: two vertices per point of a strand, turned towards the camera.
in vec3 in_position;
in vec4 in_tangent;     // direction, side (-1 or +1)
in vec4 in_strand;      // along 0..1, half width in cm, brightness, phase
uniform mat4x3 u_carry; // template space -> this head
out vec3 v_world;
out vec3 v_tangent;
out vec3 v_strand;
out vec3 v_shell;
void main() {
    vec3 p = posed(u_carry * vec4(in_position, 1.0), 0.0);
    vec3 t = normalize(u_head * (mat3(u_carry) * in_tangent.xyz));
    vec3 view = u_shadow_pass ? vec3(u_shadow[0][2], u_shadow[1][2], u_shadow[2][2]) : to_camera(p);
    vec3 side = normalize(cross(t, view) + vec3(1e-4));
    v_world = p + side * in_tangent.w * in_strand.y * (1.0 - 0.75 * in_strand.x * in_strand.x);
    v_tangent = t;
    v_strand = vec3(in_strand.x, in_tangent.w, in_strand.z);
    v_shell = normalize(p - u_head * (mat3(u_carry) * vec3(0.0, 5.0, -9.0)));
    gl_Position = clip(v_world);
}
